"""What a document may ask for."""
