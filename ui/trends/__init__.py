"""The page of trends, drawn with pyqtgraph, which is imported when the page is first opened. See :mod:`.page`."""
