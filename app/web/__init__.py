"""How every route speaks: problem documents, pages with cursors, times in UTC."""
