"""What things look like, as vectors: alike things have a large cosine."""
