"""One study, start to end: settings, network, stages, verdict, archive."""
