"""The commands of `python -m app` beside `serve`: what each reads, prints and returns."""
