"""What answers tell of the people whose rows a model was trained on."""
