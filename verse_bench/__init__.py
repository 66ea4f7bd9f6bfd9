"""How long a scan takes and how much memory: measured on synthetic scans beside a reference path."""
