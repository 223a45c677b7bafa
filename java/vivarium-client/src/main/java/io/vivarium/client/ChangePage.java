package io.vivarium.client;

import io.vivarium.v1.QueryResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** A part of what a query of the change log finds. */
public final class ChangePage {
    private final List<Transaction> transactions = new ArrayList<>();
    private final String next;
    private final long firstZxid;

    ChangePage(QueryResponse answer) {
        answer.getTransactionsList().forEach(each -> transactions.add(new Transaction(each, each.getChangesList())));
        next = answer.getNextPageToken().isEmpty() ? null : answer.getNextPageToken();
        firstZxid = answer.getFirstZxid();
    }

    /** The oldest first. */
    public List<Transaction> transactions() {
        return Collections.unmodifiableList(transactions);
    }

    /** Where the next page begins; {@code null} on the last one. A page may be empty and not the last. */
    public String next() {
        return next;
    }

    /** The member that answered keeps everything from this zxid on, and nothing before it. */
    public long firstZxid() {
        return firstZxid;
    }
}
