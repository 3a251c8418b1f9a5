"""The commands of `lth-ray` for studies that ran: status, reports, tickets, verification."""
