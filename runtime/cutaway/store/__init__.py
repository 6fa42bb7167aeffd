"""What is kept: the database and content-addressed blobs, images by name."""
