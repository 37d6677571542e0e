"""The gate as a job on GitHub: what to measure, what to tell the job, what to tell the request."""
