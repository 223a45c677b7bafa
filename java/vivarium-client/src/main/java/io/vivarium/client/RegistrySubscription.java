package io.vivarium.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.logging.Level;

/**
 * A path that is followed: a copy of what is at and below it, kept up to date, and a listener that is told of each
 * change. It goes on through other members and through later sessions of its client: where what happened meanwhile
 * is still known, from there; and where it is not, what is there is read again and compared with what the listener
 * was told, so that it misses no entry that came or went.
 *
 * <p>An entry is in the copy, with its whole transaction, when the listener is told of it. While the client is
 * SUSPENDED or LOST the copy may be old ({@link #isStale}). What lies below {@code /vivarium} is left out, and so is
 * what the client may not read.
 */
public final class RegistrySubscription implements AutoCloseable {
    /**
     * Entries of one subscription, unless {@link CacheOptions} say otherwise; with more it ends
     * ({@link VivariumException.Kind#CACHE_FULL}).
     */
    public static final int ENTRIES_MAX = 100_000;
    /** Bytes of the paths and values of one subscription, as {@link #ENTRIES_MAX}. */
    public static final long BYTES_MAX = 256L * 1024 * 1024;

    private final Core core;
    private final String path;
    private final CacheOptions options;
    private final RegistryListener listener;
    private final ChangeSubscription changes;
    private final Thread thread;

    /** What the listener was told of each, which is never REMOVE. Guarded by this, as what follows. */
    private final TreeMap<String, RegistryEvent> known = new TreeMap<>();
    private long bytes;
    private boolean initialized;
    private long zxid;
    /** The session in which all of that was so at some moment. */
    private Session freshIn;
    private VivariumException ended;
    private volatile boolean closed;
    /** What the snapshot that is being read has; {@code null} outside of one. Used by the thread alone. */
    private Set<String> again;

    RegistrySubscription(VivariumClient client, String path, CacheOptions options, RegistryListener listener) {
        core = client.core;
        this.path = path;
        this.options = Objects.requireNonNull(options, "options");
        this.listener = Objects.requireNonNull(listener, "listener");
        changes = client.changes().subscribe(Interest.in(path).snapshot());
        thread = client.core.threads.startNumbered("registry", this::run);
    }

    private void run() {
        try {
            while (!closed) {
                take(changes.next(Deadline.NEVER));
            }
            end(VivariumException.closed());
        } catch (VivariumException error) {
            end(error);
        } catch (InterruptedException stop) {
            end(VivariumException.closed());
        } catch (RuntimeException | Error fault) {
            Core.LOG.log(Level.SEVERE, "the subscription of " + path + " failed", fault);
            end(VivariumException.broken(fault.toString()));
        } finally {
            changes.close();
        }
    }

    private void end(VivariumException why) {
        synchronized (this) {
            ended = why;
            notifyAll();
        }
        if (!closed) {
            call(() -> listener.ended(why));
        }
    }

    private void take(ChangeEvent event) {
        if (event == null) {
            return;
        }
        switch (event.kind()) {
            case SNAPSHOT_BEGIN:
                again = new HashSet<>();
                break;
            case ENTRY:
                Entry entry = event.entry();
                if (again != null) {
                    again.add(entry.path());
                }
                tell(read(RegistryEvent.of(entry)));
                break;
            case SNAPSHOT_END:
                tell(gone());
                again = null;
                reached(event.zxid());
                initialized();
                break;
            case TRANSACTION:
                tell(happened(event.transaction()));
                reached(event.zxid());
                break;
            case PROGRESS:
                reached(event.zxid());
                break;
            default:
                break;
        }
    }

    private synchronized void reached(long zxid) {
        this.zxid = Math.max(this.zxid, zxid);
        freshIn = changes.heardIn();
        notifyAll();
    }

    /** What is as it was told is no news. */
    private synchronized List<RegistryEvent> read(RegistryEvent entry) {
        RegistryEvent before = known.get(entry.path());
        if (before != null && before.isSame(entry)) {
            return Collections.emptyList();
        }
        return Collections.singletonList(put(entry));
    }

    private RegistryEvent put(RegistryEvent entry) {
        RegistryEvent before = known.get(entry.path());
        RegistryEvent now = entry.as(before == null ? EventType.ADD : EventType.UPDATE);
        long size = bytes + now.bytes() - (before == null ? 0 : before.bytes());
        if (before == null && known.size() >= options.entriesMax) {
            throw VivariumException.cacheFull(options.entriesMax, "entries");
        }
        if (size > options.bytesMax) {
            throw VivariumException.cacheFull(options.bytesMax, "bytes");
        }
        known.put(now.path(), now);
        bytes = size;
        return now;
    }

    private void remove(RegistryEvent entry) {
        RegistryEvent before = known.remove(entry.path());
        bytes -= before == null ? 0 : before.bytes();
    }

    /** What was told and is not there any more; those below come first, as when they are removed. */
    private synchronized List<RegistryEvent> gone() {
        List<RegistryEvent> gone = new ArrayList<>();
        for (RegistryEvent each : known.values()) {
            if (!again.contains(each.path())) {
                gone.add(each.as(EventType.REMOVE));
            }
        }
        Collections.reverse(gone);
        gone.forEach(this::remove);
        return gone;
    }

    /** A transaction as a whole: what is removed and added in one is taken over, and was never away. */
    private synchronized List<RegistryEvent> happened(Transaction transaction) {
        Map<String, Integer> lastAdded = new HashMap<>();
        List<Change> changes = transaction.changes();
        for (int at = 0; at < changes.size(); at++) {
            if (changes.get(at).kind() == Change.Kind.ADDED) {
                lastAdded.put(changes.get(at).path(), at);
            }
        }
        List<RegistryEvent> events = new ArrayList<>();
        for (int at = 0; at < changes.size(); at++) {
            Change change = changes.get(at);
            RegistryEvent event = RegistryEvent.of(change, transaction.zxid());
            if (change.kind() == Change.Kind.ADDED || change.kind() == Change.Kind.UPDATED) {
                events.add(put(event));
            } else if (change.kind() == Change.Kind.REMOVED
                    && lastAdded.getOrDefault(change.path(), -1) < at
                    && known.containsKey(change.path())) {
                remove(event);
                events.add(event);
            }
        }
        return events;
    }

    private void tell(List<RegistryEvent> events) {
        for (RegistryEvent event : events) {
            if (closed) {
                return;
            }
            call(() -> listener.changed(event));
        }
    }

    private void initialized() {
        synchronized (this) {
            if (initialized) {
                return;
            }
            initialized = true;
            notifyAll();
        }
        call(listener::initialized);
    }

    private void call(Runnable told) {
        try {
            told.run();
        } catch (RuntimeException error) {
            Core.LOG.log(Level.WARNING, "a listener of " + path + " failed", error);
        }
    }

    /** What is followed. */
    public String path() {
        return path;
    }

    /**
     * Returns once all entries that were there are in the copy; false if the time is over before.
     *
     * @throws VivariumException why it has ended before
     */
    public synchronized boolean awaitInitialized(Duration time) {
        Deadline deadline = Deadline.in(time);
        while (!initialized && !deadline.isOver()) {
            if (ended != null) {
                throw ended.again();
            }
            try {
                deadline.waitOn(this);
            } catch (InterruptedException interrupted) {
                throw VivariumException.interrupted(false, interrupted);
            }
        }
        return initialized;
    }

    /** All that happened up to here is in the copy, and the listener was told of it; 0 at first. */
    public synchronized long zxid() {
        return zxid;
    }

    /**
     * Returns once all that happened up to this zxid is in the copy, such as a write of one's own; false if the time is
     * over before. Where nothing else happens at and below the path, that takes up to five seconds.
     *
     * @throws VivariumException why it has ended before
     */
    public synchronized boolean awaitZxid(long zxid, Duration time) {
        Deadline deadline = Deadline.in(time);
        while (this.zxid < zxid && !deadline.isOver()) {
            if (ended != null) {
                throw ended.again();
            }
            try {
                deadline.waitOn(this);
            } catch (InterruptedException interrupted) {
                throw VivariumException.interrupted(false, interrupted);
            }
        }
        return this.zxid >= zxid;
    }

    /** An entry, as the listener was told of it last. */
    public synchronized Optional<RegistryEvent> get(String path) {
        return Optional.ofNullable(known.get(path));
    }

    /** All that the copy has, in the order of their paths. */
    public synchronized List<RegistryEvent> entries() {
        return new ArrayList<>(known.values());
    }

    /** The names of the entries right below a path, in their order, by the copy. */
    public synchronized List<String> children(String parent) {
        List<String> names = new ArrayList<>();
        String prefix = parent.equals("/") ? "/" : parent + "/";
        for (String each : known.tailMap(prefix, false).keySet()) {
            if (!each.startsWith(prefix)) {
                break;
            }
            String name = each.substring(prefix.length());
            if (name.indexOf('/') < 0) {
                names.add(name);
            }
        }
        return names;
    }

    /**
     * Whether the copy may be as old as one likes: nothing is told any more, or the session was lost and no member has
     * told anything in a later one, or the first entries are still to come. While the client is SUSPENDED the copy is as
     * old as that, and not stale.
     */
    public synchronized boolean isStale() {
        return ended != null || freshIn == null || freshIn != core.session();
    }

    /** Why nothing is told any more; {@code null} while that is not so. */
    public synchronized VivariumException error() {
        return ended;
    }

    /**
     * Nothing is told after this has returned, unless the listener itself calls it, which is told nothing more
     * after that. It waits 5 seconds at most for a listener that does not return.
     */
    @Override
    public void close() {
        closed = true;
        changes.close();
        Threads.end(thread);
    }
}
