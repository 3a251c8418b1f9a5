"""What `lth-ray` does with studies that ran: status, reports, tickets, verification."""
