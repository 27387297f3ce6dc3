"""What a person sees: the dashboard and the HTML page in a headless Chromium."""
