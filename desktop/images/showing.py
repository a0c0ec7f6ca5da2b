"""What the stage shows: the job that runs, a job of the past, selected results, or a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QSize, QTimer, Signal
from PySide6.QtGui import QImage

from desktop.images.model import ImagesModel, PageJob
from desktop.images.stage import Stage
from desktop.images.subject import Subject, find_subject
from desktop.widgets.compare_view import CompareMode
from desktop.widgets.gallery import Gallery
from desktop.widgets.image_canvas import Tile, TileState, image_from_array
from desktop.widgets.picture_cache import PictureCache
from engine.errors import EngineError, bad_file
from engine.job import JobState

SHOWN_AT_ONCE = 36
CLOCK_INTERVAL_MS = 500


class Showing(QObject):
    """Decides what is on the stage.

    A run the user started is *followed* until results are selected in the gallery; a button brings
    the running job back.

    Signals
    -------
    problem(EngineError)
        Something asked for cannot be shown.
    subject_changed
        :attr:`subject` is another one.
    """

    problem = Signal(object)
    subject_changed = Signal()

    def __init__(
        self, model: ImagesModel, stage: Stage, gallery: Gallery, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._model, self._stage, self._gallery = model, stage, gallery
        self._pictures = PictureCache(None, 256 << 20, self)
        self._job: str | None = None
        self._ids: list[int] = []
        self._selection: list[int] = []
        self._following = True
        self._selecting = False
        self._comparing: tuple[int, int] | None = None
        self._names: tuple[str, str] | None = None
        self._subject: Subject | None = None
        self._replay: tuple[int, QImage, str] | None = None
        self._converted: tuple[NDArray[np.uint8] | None, list[QImage]] = (None, [])
        self._pictures.ready.connect(self._picture_ready)
        model.job_updated.connect(self._job_updated)
        model.result_added.connect(gallery.model.sync_soon)
        gallery.selection_changed.connect(self._selection_changed)
        # A click on what is selected already leads back to it from a running job.
        gallery.view.clicked.connect(lambda: self._selected(gallery.selected()))
        gallery.activated.connect(lambda result: self.show_results([result]))
        stage.live_requested.connect(self._back_to_live)
        stage.compare_closed.connect(self._compare_left)
        stage.canvas.current_changed.connect(self._tile_chosen)
        stage.canvas.activated.connect(self._tile_activated)
        # Keeps the time left honest between two reports of progress.
        self._clock = QTimer(self, interval=CLOCK_INTERVAL_MS)
        self._clock.timeout.connect(self._show_progress)

    # --- choosing ---------------------------------------------------------------------------------

    def show_latest(self) -> None:
        """At the start: the running job, else the newest result, else the explanation."""
        running = self._model.running
        if running is not None:
            self.follow(running.id)
        elif self._gallery.model.ids:
            self._gallery.select(self._gallery.model.ids[:1])
        else:
            self._stage.show_empty()
            self._tell_subject()

    def follow(self, job: str) -> None:
        """Show a job the user just queued, unless an earlier one is still being followed."""
        shown = self._model.job(self._job) if self._job else None
        if self._following and shown is not None and shown.active:
            return
        running = self._model.running
        self._following = True
        self._show_job(running.id if running is not None else job)

    def show_job(self, job: str) -> None:
        """Show a job of the history; its pictures are selected."""
        known = self._model.job(job)
        if known is None:
            return
        if not known.results and not known.active:
            known.results = self._model.pictures(self._gallery.model.of_job(job))
        self._following = known.active
        self._show_job(job)
        self._select_quietly(list(reversed(known.results)))

    def show_results(self, ids: Sequence[int]) -> None:
        """Show finished pictures."""
        self._following, self._job, self._comparing = False, None, None
        self._ids = list(ids)[:SHOWN_AT_ONCE]
        self.refresh()

    def compare(
        self,
        first: int,
        second: int,
        names: tuple[str, str] | None = None,
        mode: CompareMode | None = None,
    ) -> None:
        """Compare two results; by default named by their seeds and as they were compared last."""
        self._comparing, self._names = (first, second), names
        if mode is not None:
            self._stage.set_compare_mode(mode)
        self._show_comparison()

    # --- the picture the inspector is about -------------------------------------------------------

    @property
    def subject(self) -> Subject | None:
        """The picture that is meant; ``None`` while the stage shows none."""
        return self._subject

    def choose(self, place: int) -> None:
        """Mean another picture of those on the stage."""
        self._stage.canvas.set_current(place)

    def replay(self, result: int, image: QImage | None, mark: str = "") -> None:
        """Show what a result looked like at some round, marked so; ``None`` shows it as it is."""
        if image is None and self._replay is None:
            return
        self._replay = None if image is None else (result, image, mark)
        if self._comparing is not None:
            self._stage.leave_compare()
        else:
            self.refresh()

    def _tell_subject(self) -> None:
        found = self._find_subject()
        if found != self._subject:
            self._subject = found
            self.subject_changed.emit()

    def _find_subject(self) -> Subject | None:
        if self._stage.empty:
            return None
        job = self._model.job(self._job) if self._job else None
        first = self._window(job).start if job is not None else 0
        return find_subject(self._stage.canvas, job, first)

    def _show_job(self, job: str) -> None:
        self._job, self._ids, self._comparing = job, [], None
        self.refresh()

    def _back_to_live(self) -> None:
        running = self._model.running
        if running is not None:
            self._following = True
            self._show_job(running.id)

    # --- what others do ---------------------------------------------------------------------------

    def _job_updated(self, job: str) -> None:
        known = self._model.job(job)
        if known is None:
            return
        if known.state is JobState.RUNNING and self._following and job != self._job:
            shown = self._model.job(self._job) if self._job else None
            if shown is None or not shown.active:
                self._show_job(job)
                return
        if job == self._job and self._comparing is None:
            self.refresh()
            if known.state.terminal and self._following:
                self._gallery.model.sync()
                self._select_quietly(list(reversed(known.results)))
        else:
            self._show_live_button()

    def _selection_changed(self, ids: list[int]) -> None:
        # New results move the rows of selected ones, which Qt tells as a change: it must not end a
        # comparison.
        if ids != self._selection:
            self._selection = ids
            self._selected(ids)

    def _selected(self, ids: list[int]) -> None:
        if self._selecting or not ids:
            return
        self.show_results(ids[:SHOWN_AT_ONCE])

    def _select_quietly(self, ids: Sequence[int]) -> None:
        """Select in the gallery without changing what the stage shows."""
        self._selecting = True
        self._gallery.select(ids)
        self._selecting = False

    def _tile_chosen(self, index: int) -> None:
        key = self._stage.canvas.tiles[index].key if index >= 0 else None
        if key is not None:
            self._select_quietly([key])
        self._tell_subject()

    def _tile_activated(self, index: int) -> None:
        key = self._stage.canvas.tiles[index].key
        if key is not None:
            self._gallery.select([key])
            self.show_results([key])

    def _compare_left(self) -> None:
        self._comparing = None
        self.refresh()

    def _picture_ready(self, _key: str) -> None:
        if self._comparing is not None:
            self._show_comparison()
        elif not self._stage.empty:
            self.refresh()

    # --- drawing ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring the stage up to date."""
        if self._comparing is not None:
            return
        job = self._model.job(self._job) if self._job else None
        if job is not None:
            self._stage.show_tiles(self._job_tiles(job), job.title, self._job_note(job))
        else:
            self._ids = [result for result in self._ids if self._is_there(result)]
            if self._ids:
                title, note = self._results_title()
                self._stage.show_tiles([self._result_tile(i) for i in self._ids], title, note)
            elif not self._gallery.model.ids and not self._gallery.filtered:
                self._stage.show_empty()
            else:
                self._stage.show_tiles([], "Nothing selected")
        self._show_progress()
        self._show_live_button()
        self._tell_subject()

    def _is_there(self, result: int) -> bool:
        try:
            return not self._gallery.model.record(result).removed
        except EngineError:
            return False

    def _results_title(self) -> tuple[str, str]:
        if len(self._ids) > 1:
            return f"{len(self._ids)} pictures", ""
        record = self._gallery.model.record(self._ids[0])
        size = f" · {record.width} × {record.height}" if record.width and record.height else ""
        mark = self._model.unconverged(record)
        mark = f" · {mark[0].lower()}{mark[1:]}" if mark else ""
        return record.prompt or "No prompt", f"Seed {record.seed}{size}{mark}"

    def _job_note(self, job: PageJob) -> str:
        window = self._window(job)
        if len(window) < job.count:
            return f"{window.start + 1} to {window.stop} of {job.count:,}"
        return "" if job.active else job.status()

    def _window(self, job: PageJob) -> range:
        """The part of a large job that is shown: what is being made, after what was made last."""
        making = len(job.previews) if job.previews is not None else 1
        last = min(job.count, max(SHOWN_AT_ONCE, len(job.results) + making))
        return range(max(0, last - SHOWN_AT_ONCE), last)

    def _job_tiles(self, job: PageJob) -> list[Tile]:
        tiles = []
        previews = self._preview_images(job)
        for place, index in enumerate(self._window(job)):
            if index < len(job.results):
                tile = self._result_tile(job.results[index], self._shown_image(place))
            else:
                tile = Tile(name=f"picture {index + 1} of {job.count}")
                ahead = index - len(job.results)
                if ahead < len(previews):
                    tile.image = previews[ahead]
                    tile.state = TileState.PREVIEW
                    tile.name += ", preview"
            tiles.append(tile)
        return tiles

    def _preview_images(self, job: PageJob) -> list[QImage]:
        """The job's previews as pictures, converted once and not at every report of progress."""
        if job.previews is None:
            return []
        if self._converted[0] is not job.previews:
            shown = job.previews[:SHOWN_AT_ONCE]
            self._converted = (job.previews, [image_from_array(image) for image in shown])
        return self._converted[1]

    def _shown_image(self, place: int) -> QImage | None:
        tiles = self._stage.canvas.tiles
        return tiles[place].image if place < len(tiles) else None

    def _result_tile(self, result: int, meanwhile: QImage | None = None) -> Tile:
        model = self._gallery.model
        record = model.record(result)
        image = self._pictures.image(record.artifact.sha256, model.path(result))
        name = f"{record.prompt or 'no prompt'}, seed {record.seed}"
        size = QSize(record.width or 128, record.height or 128)
        mark = self._model.unconverged(record)
        if self._replay is not None and self._replay[0] == result:
            _, image, mark = self._replay
        return Tile(image or meanwhile, TileState.DONE, result, name, size, mark)

    def _show_progress(self) -> None:
        job = self._model.job(self._job) if self._job else None
        if job is not None and job.active and self._comparing is None:
            self._stage.canvas.set_progress(job.fraction, job.status())
            self._clock.start()
        else:
            self._stage.canvas.set_progress(None)
            self._clock.stop()

    def _show_live_button(self) -> None:
        running = self._model.running
        away = running is not None and (running.id != self._job or self._comparing is not None)
        self._stage.live_button.setVisible(away)

    def _show_comparison(self) -> None:
        assert self._comparing is not None
        model = self._gallery.model
        images: list[Any] = []
        for result in self._comparing:
            record = model.record(result)
            image = self._pictures.image(record.artifact.sha256, model.path(result))
            # Of a picture that is looked at step by step, the step is compared.
            stepped = self._replay is not None and self._replay[0] == result
            images.append(self._replay[1] if stepped and self._replay else image)
            if self._pictures.is_broken(record.artifact.sha256):
                self._comparing = None
                self.problem.emit(
                    bad_file(
                        "One of the two pictures cannot be read; nothing was changed.",
                        "Run again makes it anew.",
                    )
                )
                return
        if all(image is not None for image in images):
            records = [model.record(result) for result in self._comparing]
            first, second = self._names or (
                f"{side} · seed {record.seed}" for side, record in zip("AB", records, strict=True)
            )
            self._stage.show_compare(images[0], images[1], (first, second))
            self._show_live_button()
