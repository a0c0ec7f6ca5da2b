"""Keypoints of people in photos: which is which, a person's, and the pictures they are seen in."""
