"""Where things are in the frames of a video."""
