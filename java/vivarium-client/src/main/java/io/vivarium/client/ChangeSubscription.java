package io.vivarium.client;

import io.vivarium.v1.ChangeLogServiceGrpc;
import io.vivarium.v1.OnCompacted;
import io.vivarium.v1.SnapshotBegin;
import io.vivarium.v1.SnapshotEnd;
import io.vivarium.v1.SubscribeRequest;
import io.vivarium.v1.SubscribeResponse;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * What one subscriber of the change log is told, each transaction once and in order, through whatever member
 * answers, until it is closed. For one thread at a time; another one may close it.
 *
 * <p>It goes on after the last event that was taken and nothing else, so what lay unread in a stream that broke is
 * told by the next one. Nothing is fetched ahead of who takes it, but for one message and the window of its stream,
 * 64 KiB: a slow subscriber costs the member a place in its log, and neither the session nor other calls anything.
 */
public final class ChangeSubscription implements AutoCloseable {
    private static final long WAIT_PART = TimeUnit.MILLISECONDS.toNanos(500);

    private final VivariumClient client;
    private final List<String> prefixes;
    private final boolean orSnapshot;

    /** Where the next stream begins. */
    private Interest.Start from;
    private String subscriber;
    private boolean compacted;
    /** The last zxid up to which everything was told, where it is told {@code AFTER} one. */
    private long told;
    private final Seen seen = new Seen();

    private volatile Stream<SubscribeRequest, SubscribeResponse> stream;
    /** In which it was opened. */
    private Session openedIn;
    private Session heardIn;
    /** What came while it was opened. */
    private SubscribeResponse first;
    /** No snapshot may be older than what this client had seen before it asked for it. */
    private long floor;
    private final Backoff backoff = new Backoff();
    private Deadline retryAt;
    /** Until when members may refuse to go on. */
    private Deadline refusedUntil;
    private VivariumException ended;
    private volatile boolean closed;

    ChangeSubscription(VivariumClient client, Interest interest) {
        this.client = client;
        prefixes = interest.prefixes;
        orSnapshot = interest.orSnapshot;
        from = interest.start;
        subscriber = interest.subscriber;
        told = interest.after;
    }

    /** From now on: a start with a name, so that whoever loses the first stream knows where it was. */
    void startAfter(long zxid) {
        from = Interest.Start.AFTER;
        told = zxid;
    }

    /** Has the first stream opened, or refused. */
    void begin(Deadline deadline) {
        VivariumException last = null;
        for (;;) {
            try {
                if (!awaitRetry(deadline) || !open(deadline) || !isOpened(deadline)) {
                    drop();
                    throw VivariumException.timedOut(false, last);
                }
                return;
            } catch (VivariumException error) {
                drop();
                if (!error.isPassing() && !client.core.isBehind(error)) {
                    throw error;
                }
                tryLater();
                last = error;
            } catch (InterruptedException interrupted) {
                drop();
                throw VivariumException.interrupted(false, interrupted);
            }
        }
    }

    private boolean isOpened(Deadline deadline) throws InterruptedException {
        if (!stream.awaitOpened(deadline)) {
            return false;
        }
        first = stream.next(Deadline.inNanos(0));
        return true;
    }

    /**
     * What comes next; {@code null} if the time is over before. Waits while no member serves. After an error there
     * is only that error.
     *
     * @throws VivariumException COMPACTED without {@link Interest#orSnapshot}; CLOSED, and SESSION_LOST for a client
     *     that opens no new session; INTERRUPTED, after which the next call goes on; whatever else does not pass
     *     within the client's request timeout, as FROM_THE_FUTURE from an ensemble that was set back, or
     *     LIMIT_REACHED
     */
    public ChangeEvent next(Duration time) {
        try {
            return next(Deadline.in(time));
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
    }

    ChangeEvent next(Deadline deadline) throws InterruptedException {
        if (ended != null) {
            throw ended.again();
        }
        for (;;) {
            if (closed) {
                throw VivariumException.closed();
            }
            try {
                if (stream == null) {
                    // In parts, so that whoever closes it need not wait for a member.
                    long part = Math.min(deadline.leftNanos(), WAIT_PART);
                    if (!awaitRetry(deadline) || !open(Deadline.inNanos(Math.max(0, part)))) {
                        if (deadline.isOver()) {
                            return null;
                        }
                        continue;
                    }
                    if (from == Interest.Start.AFTER) {
                        return ChangeEvent.progress(told);
                    }
                }
                SubscribeResponse message = first != null ? first : stream.next(deadline);
                first = null;
                if (message == null) {
                    return null;
                }
                ChangeEvent event = take(message);
                if (event != null) {
                    return event;
                }
            } catch (VivariumException error) {
                if (error.is(VivariumException.Kind.INTERRUPTED)) {
                    Thread.interrupted();
                    throw new InterruptedException();
                }
                drop();
                if (closed || !goesOnAfter(error)) {
                    ended = closed ? VivariumException.closed() : error;
                    throw ended;
                }
                Core.LOG.fine(() -> "changes of " + prefixes + " are subscribed to anew: " + error.getMessage());
                tryLater();
            }
        }
    }

    /** All that happened up to here was told; -1 within a snapshot. */
    public long position() {
        return from == Interest.Start.AFTER ? told : -1;
    }

    /** The session in which a member told something last. For the thread that asks for events. */
    Session heardIn() {
        return heardIn;
    }

    private void drop() {
        Stream<SubscribeRequest, SubscribeResponse> left = stream;
        stream = null;
        first = null;
        if (left != null) {
            left.cancel();
        }
    }

    private void tryLater() {
        retryAt = Deadline.inNanos(backoff.nextNanos());
    }

    private boolean awaitRetry(Deadline deadline) throws InterruptedException {
        while (retryAt != null && !retryAt.isOver()) {
            long left = deadline.leftNanos();
            if (left <= 0) {
                return false;
            }
            TimeUnit.NANOSECONDS.sleep(Math.max(1, Math.min(left, retryAt.leftNanos())));
        }
        retryAt = null;
        return true;
    }

    private boolean goesOnAfter(VivariumException error) {
        if (error.is(Reason.COMPACTED)) {
            // It was too slow: the next stream begins with what there is.
            return orSnapshot;
        }
        if (error.is(Reason.FROM_THE_FUTURE) || error.is(Reason.LIMIT_REACHED)) {
            if (refusedUntil == null) {
                refusedUntil = client.deadline();
            }
            return !refusedUntil.isOver();
        }
        return error.isPassing();
    }

    private boolean open(Deadline deadline) {
        Core.Attached at;
        try {
            at = client.core.attached(null, deadline, false, null);
        } catch (VivariumException error) {
            if (error.is(VivariumException.Kind.TIMED_OUT)) {
                return false;
            }
            throw error;
        }
        SubscribeRequest.Builder request = SubscribeRequest.newBuilder()
                .addAllPrefixes(prefixes)
                .setOnCompacted(orSnapshot
                        ? OnCompacted.ON_COMPACTED_SNAPSHOT : OnCompacted.ON_COMPACTED_FAIL);
        switch (from) {
            case AFTER:
                floor = told;
                request.setAfter(told);
                break;
            case SUBSCRIBER:
                floor = 0;
                request.setSubscriber(subscriber);
                break;
            default:
                floor = Math.max(client.core.seen(), told);
                request.setSnapshot(true);
                break;
        }
        Stream<SubscribeRequest, SubscribeResponse> opened =
                at.link.stream(ChangeLogServiceGrpc.getSubscribeMethod());
        opened.send(request.build());
        opened.sentAll();
        stream = opened;
        openedIn = at.session;
        if (closed) {
            opened.cancel();
        }
        return true;
    }

    /** What a message means, and where the next stream begins from now on. */
    private ChangeEvent take(SubscribeResponse message) {
        heardIn = openedIn;
        ChangeEvent event = null;
        switch (message.getMessageCase()) {
            case SNAPSHOT_BEGIN:
                SnapshotBegin begin = message.getSnapshotBegin();
                if (begin.getZxid() < floor) {
                    throw VivariumException.broken("the member is behind");
                }
                compacted = begin.getCompacted() || from == Interest.Start.SNAPSHOT && compacted;
                from = Interest.Start.SNAPSHOT;
                seen.clear();
                event = ChangeEvent.begin(begin.getZxid(), compacted);
                break;
            case ENTRY:
                seen.insert(message.getEntry().getPath(), message.getEntry().getModifiedZxid());
                event = ChangeEvent.of(new Entry(message.getEntry()));
                break;
            case SNAPSHOT_END:
                SnapshotEnd end = message.getSnapshotEnd();
                seen.isThrough(end.getThroughZxid());
                compacted = false;
                cameTo(end.getZxid());
                event = ChangeEvent.end(end.getZxid());
                break;
            case PROGRESS:
                outsideOfSnapshot();
                cameTo(Math.max(message.getProgress().getZxid(), told));
                seen.cameTo(told);
                event = ChangeEvent.progress(told);
                break;
            case TRANSACTION:
                outsideOfSnapshot();
                io.vivarium.v1.Transaction transaction = message.getTransaction();
                if (transaction.getZxid() > told) {
                    List<io.vivarium.v1.Change> news = seen.news(transaction);
                    cameTo(transaction.getZxid());
                    event = news.isEmpty() ? null : ChangeEvent.of(new Transaction(transaction, news));
                }
                break;
            default:
                // Of a later release.
                break;
        }
        backoff.reset();
        refusedUntil = null;
        return event;
    }

    private void outsideOfSnapshot() {
        if (from == Interest.Start.SNAPSHOT) {
            throw VivariumException.broken("a snapshot without its end");
        }
    }

    private void cameTo(long zxid) {
        told = zxid;
        from = Interest.Start.AFTER;
        client.core.saw(zxid);
    }

    /** Whoever waits for the next event is told {@link VivariumException.Kind#CLOSED}. */
    @Override
    public void close() {
        closed = true;
        Stream<SubscribeRequest, SubscribeResponse> left = stream;
        if (left != null) {
            left.cancel();
        }
    }
}
