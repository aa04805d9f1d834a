"""Pages of a list: `?page=2&per_page=100`, at most 200 rows each."""

from rest_framework.pagination import PageNumberPagination


class PageNumbers(PageNumberPagination):
    page_size_query_param = "per_page"
    max_page_size = 200
