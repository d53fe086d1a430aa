"""The one way in and out of files: networks, elements, and files that are written whole or not at all."""
