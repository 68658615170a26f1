"""The server: Open Inference Protocol in front, killable workers behind."""
