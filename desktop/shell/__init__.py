"""The frame around the pages: window, rail, status bar, queue, messages, preferences."""
