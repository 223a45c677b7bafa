package io.vivarium.client;

import io.vivarium.v1.RegistryServiceGrpc;
import io.vivarium.v1.WatchChildrenRequest;
import io.vivarium.v1.WatchChildrenResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.TreeSet;

/**
 * The names of the entries right below a path, as they come and go, for those who only want to know who is there: of a
 * thousand that register at once, a few messages tell. It goes on through other members and later sessions until it is
 * closed; what became of the names meanwhile is then told at once.
 */
public final class ChildrenWatch implements AutoCloseable {
    /** Names that it holds, as many as a member tells; with more it ends ({@link VivariumException.Kind#CACHE_FULL}). */
    public static final int NAMES_MAX = 100_000;

    private final VivariumClient client;
    private final String path;
    private final Duration interval;
    private final ChildrenListener listener;
    private final Follower<WatchChildrenRequest, WatchChildrenResponse> follower;

    /** Guarded by this, as what follows. */
    private final TreeSet<String> names = new TreeSet<>();
    private boolean initialized;
    private long zxid;
    private VivariumException ended;

    /** {@code interval}: {@code null} for what the member does by itself. */
    ChildrenWatch(VivariumClient client, String path, Duration interval, ChildrenListener listener) {
        this.client = client;
        this.path = Objects.requireNonNull(path, "path");
        this.interval = interval;
        this.listener = Objects.requireNonNull(listener, "listener");
        follower = new Follower<>(
                client, "children", "the children of " + path, RegistryServiceGrpc.getWatchChildrenMethod(), new Told());
        follower.start();
        boolean begun = false;
        try {
            begin(client.deadline());
            begun = true;
        } finally {
            if (!begun) {
                close();
            }
        }
    }

    private synchronized void begin(Deadline deadline) {
        while (!initialized) {
            if (ended != null) {
                throw ended.again();
            }
            if (deadline.isOver()) {
                throw VivariumException.timedOut(false, null);
            }
            try {
                deadline.waitOn(this);
            } catch (InterruptedException interrupted) {
                throw VivariumException.interrupted(false, interrupted);
            }
        }
    }

    private final class Told implements Follower.Told<WatchChildrenRequest, WatchChildrenResponse> {
        /** What came of a message in parts. */
        private WatchChildrenResponse.Builder whole;

        @Override
        public WatchChildrenRequest request() {
            whole = null;
            WatchChildrenRequest.Builder request =
                    WatchChildrenRequest.newBuilder().setPath(path).setRead(client.readOptions());
            if (interval != null) {
                request.setIntervalMs(Math.max(0, Options.millis(interval)));
            }
            return request.build();
        }

        @Override
        public void take(WatchChildrenResponse part) {
            if (whole == null) {
                whole = part.toBuilder();
            } else {
                whole.addAllAdded(part.getAddedList()).addAllRemoved(part.getRemovedList()).setZxid(part.getZxid());
            }
            if (whole.getAddedCount() > NAMES_MAX || whole.getRemovedCount() > NAMES_MAX) {
                throw VivariumException.cacheFull(NAMES_MAX, "names");
            }
            if (!part.getPartial()) {
                ChildrenWatch.this.take(whole);
                whole = null;
            }
        }

        @Override
        public void ended(VivariumException why) {
            synchronized (ChildrenWatch.this) {
                ended = why;
                ChildrenWatch.this.notifyAll();
            }
            follower.call(() -> listener.ended(why));
        }
    }

    private void take(WatchChildrenResponse.Builder told) {
        List<String> added = new ArrayList<>();
        List<String> removed = new ArrayList<>();
        boolean first;
        synchronized (this) {
            if (told.getReset()) {
                TreeSet<String> now = new TreeSet<>(told.getAddedList());
                names.stream().filter(name -> !now.contains(name)).forEach(removed::add);
                now.stream().filter(name -> !names.contains(name)).forEach(added::add);
            } else {
                added.addAll(told.getAddedList());
                removed.addAll(told.getRemovedList());
            }
            removed.forEach(names::remove);
            names.addAll(added);
            if (names.size() > NAMES_MAX) {
                throw VivariumException.cacheFull(NAMES_MAX, "names");
            }
            zxid = told.getZxid();
            first = !initialized;
            initialized = true;
            notifyAll();
        }
        client.core.saw(told.getZxid());
        if (first || !added.isEmpty() || !removed.isEmpty()) {
            follower.call(() -> listener.changed(added, removed));
        }
    }

    /** The names, ascending, as they were told last: while the client is suspended they may be others. */
    public synchronized List<String> names() {
        return new ArrayList<>(names);
    }

    /** All that happened up to here is in {@link #names}. */
    public synchronized long zxid() {
        return zxid;
    }

    /** Why nothing is told any more; {@code null} while that is not so. */
    public synchronized VivariumException error() {
        return ended;
    }

    /** Nothing is told after this has returned. It waits 5 seconds at most for a listener that does not return. */
    @Override
    public void close() {
        follower.close();
    }
}
