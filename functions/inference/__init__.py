"""``POST /genai``: one prompt in, one completion out."""
