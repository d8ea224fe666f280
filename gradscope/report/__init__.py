"""What people read: tables, pictures, documents. Nothing here computes a result."""
