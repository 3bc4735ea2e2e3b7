"""What runs in Lambda. Imports nothing of the rest of the project, and the rest never imports it: it is deployed."""
