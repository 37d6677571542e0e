"""Engines that turn plans into scored rows; runtimes are imported only here."""
