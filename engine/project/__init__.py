"""A project on disk: the queue of jobs, the history of results, the artifacts, in one folder."""

from engine.project.history import ResultFilter, ResultRecord
from engine.project.project import Project, Recovery
from engine.project.queue import JobRecord

__all__ = ["JobRecord", "Project", "Recovery", "ResultFilter", "ResultRecord"]
