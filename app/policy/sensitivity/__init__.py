"""What is sensitive in a text, and how sure that is."""
