"""From named arrays to recurrent layers."""
