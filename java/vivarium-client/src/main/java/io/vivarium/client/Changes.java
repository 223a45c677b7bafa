package io.vivarium.client;

import io.vivarium.v1.AcknowledgeRequest;
import io.vivarium.v1.ChangeLogServiceGrpc;
import io.vivarium.v1.ChangeLogStatusRequest;
import io.vivarium.v1.ChangeLogStatusResponse;
import io.vivarium.v1.DeleteCursorRequest;
import io.vivarium.v1.GetCursorRequest;
import io.vivarium.v1.QueryRequest;
import java.util.ArrayList;
import java.util.List;

/** The change log: what happened under some paths, whoever did it. Every method throws {@link VivariumException}. */
public final class Changes {
    private final VivariumClient client;

    Changes(VivariumClient client) {
        this.client = client;
    }

    /**
     * Subscribes, and goes on through other members when one fails, until it is closed.
     *
     * <pre>{@code
     * Changes changes = client.changes();
     * try (ChangeSubscription billing = changes.subscribe(Interest.in("/jobs").subscriber("billing"))) {
     *     while (running) {
     *         ChangeEvent event = billing.next(Duration.ofSeconds(10));
     *         if (event != null && event.kind() == ChangeEvent.Kind.TRANSACTION) {
     *             // …
     *             changes.acknowledge("billing", event.zxid());
     *         }
     *     }
     * }
     * }</pre>
     *
     * @throws VivariumException INVALID_PATH, INVALID_ARGUMENT; FROM_THE_FUTURE for a start that the ensemble has
     *     not come to; COMPACTED without {@link Interest#orSnapshot}; LIMIT_REACHED where the member has as many
     *     subscriptions as it may
     */
    public ChangeSubscription subscribe(Interest interest) {
        ChangeSubscription subscription = new ChangeSubscription(client, interest);
        if (interest.start == Interest.Start.NOW) {
            subscription.startAfter(Math.max(lastZxid(), client.core.seen()));
        }
        subscription.begin(client.deadline());
        return subscription;
    }

    /**
     * Notes that a named subscriber has dealt with everything up to a zxid, and tells what is noted now: never less
     * than before.
     *
     * @throws VivariumException FROM_THE_FUTURE; INVALID_ARGUMENT for a name that is empty or has more than 256
     *     characters
     */
    public long acknowledge(String subscriber, long zxid) {
        return client.write(ChangeLogServiceGrpc.getAcknowledgeMethod(), header -> AcknowledgeRequest.newBuilder()
                        .setHeader(header)
                        .setSubscriber(subscriber)
                        .setZxid(zxid)
                        .build())
                .getZxid();
    }

    /** What a named subscriber acknowledged last; 0 if it never did. */
    public long acknowledged(String subscriber) {
        GetCursorRequest request =
                GetCursorRequest.newBuilder().setSubscriber(subscriber).build();
        return client.read(ChangeLogServiceGrpc.getGetCursorMethod(), () -> request).getZxid();
    }

    /** Forgets a named subscriber. That there is none is no error. */
    public void forget(String subscriber) {
        client.write(ChangeLogServiceGrpc.getDeleteCursorMethod(), header -> DeleteCursorRequest.newBuilder()
                .setHeader(header)
                .setSubscriber(subscriber)
                .build());
    }

    /**
     * All that a query finds, the oldest first. It reaches as far back as the members that answer do, which
     * {@link #page} tells; of much, ask page by page.
     */
    public List<Transaction> query(ChangeQuery query) {
        List<Transaction> found = new ArrayList<>();
        String token = null;
        do {
            ChangePage page = page(query, token);
            found.addAll(page.transactions());
            token = page.next();
        } while (token != null);
        return found;
    }

    /**
     * One page of it: the first for {@code null}, or the one that a page before it told of.
     *
     * @throws VivariumException INVALID_PATH, INVALID_ARGUMENT
     */
    public ChangePage page(ChangeQuery query, String token) {
        QueryRequest.Builder request = QueryRequest.newBuilder()
                .addAllPrefixes(query.prefixes)
                .setPageSize(query.pageSize)
                .setPageToken(token == null ? "" : token);
        if (query.fromMs != null) {
            request.setFromMs(query.fromMs);
        }
        if (query.toMs != null) {
            request.setToMs(query.toMs);
        }
        return new ChangePage(client.read(ChangeLogServiceGrpc.getQueryMethod(), request::build));
    }

    /** Every change from this zxid on is kept at the member that answers; 0 where nothing is. */
    public long firstZxid() {
        return status().getFirstZxid();
    }

    /** The last transaction that the member that answers has applied. */
    public long lastZxid() {
        return status().getLastZxid();
    }

    private ChangeLogStatusResponse status() {
        return client.read(ChangeLogServiceGrpc.getStatusMethod(), ChangeLogStatusRequest::getDefaultInstance);
    }
}
