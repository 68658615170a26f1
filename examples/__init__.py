"""Applications that show Strongroom at work on real data; each folder runs with one command.

make example NAME=healthcare
make example NAME=fraud_detection
make example NAME=model_sharing
"""
