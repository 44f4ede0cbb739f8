"""``.pftrace``: a timeline for Perfetto (ui.perfetto.dev), of tracks, nested slices, arrows and counters."""
