"""Importers: one file a format, each turning a foreign recording into a trace."""
