package io.vivarium.client;

import io.vivarium.v1.AcquireRequest;
import io.vivarium.v1.AcquireResponse;
import io.vivarium.v1.DescribeRequest;
import io.vivarium.v1.DescribeResponse;
import io.vivarium.v1.LockServiceGrpc;
import io.vivarium.v1.Reentry;
import io.vivarium.v1.ReleaseRequest;
import io.vivarium.v1.ReleaseResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Locks of the ensemble: fair, held for as long as the session lives, each with a fencing token.
 *
 * <p>There are two forms. A {@link LockHandle} belongs to nobody in particular; {@link #mutex}, {@link #readLock}
 * and {@link #writeLock} are {@link java.util.concurrent.locks.Lock}s, which belong to the thread that locked them
 * and may be locked by it again. What is asked for and not wanted any more, because the thread was interrupted or
 * the time was over, is given back.
 */
public final class Locks {
    private final VivariumClient client;
    /** By which what is held is released. */
    private final VivariumClient holder;

    Locks(VivariumClient client) {
        this(client, client);
    }

    private Locks(VivariumClient client, VivariumClient holder) {
        this.client = client;
        this.holder = holder;
    }

    /**
     * Waits until the mutex is held, behind those who asked before, for as long as the session lives.
     *
     * @throws VivariumException SESSION_LOST; KIND_MISMATCH where it is in use as a read-write lock; INTERRUPTED
     */
    public LockHandle acquire(String lock) {
        return acquire(lock, LockMode.EXCLUSIVE);
    }

    /** As {@link #acquire(String)}, in this mode. */
    public LockHandle acquire(String lock, LockMode mode) {
        return held(ask(lock, mode, null, null));
    }

    private static LockHandle held(Optional<LockHandle> handle) {
        return handle.orElseThrow(
                () -> VivariumException.broken("whoever waits without limit has the lock at last"));
    }

    /**
     * As {@link #acquire(String, LockMode)}, in somebody's name, which is the session's own: who holds it under this name
     * has it again at once, with a handle of its own, and it is free after as many releases. 256 characters at most.
     */
    public LockHandle acquireAs(String owner, String lock, LockMode mode) {
        return held(ask(lock, mode, null, Objects.requireNonNull(owner, "owner")));
    }

    /** As {@link #acquireAs}, if it is to be had in time. */
    public Optional<LockHandle> tryAcquireAs(String owner, String lock, LockMode mode, Duration wait) {
        return ask(lock, mode, Objects.requireNonNull(wait, "wait"), Objects.requireNonNull(owner, "owner"));
    }

    /** The mutex, if it is free. */
    public Optional<LockHandle> tryAcquire(String lock) {
        return ask(lock, LockMode.EXCLUSIVE, Duration.ZERO, null);
    }

    /** The mutex, if it is to be had in time. The answer may take the request timeout longer. */
    public Optional<LockHandle> tryAcquire(String lock, Duration wait) {
        return tryAcquire(lock, LockMode.EXCLUSIVE, wait);
    }

    /** As {@link #tryAcquire(String, Duration)}, in this mode. */
    public Optional<LockHandle> tryAcquire(String lock, LockMode mode, Duration wait) {
        return ask(lock, mode, Objects.requireNonNull(wait, "wait"), null);
    }

    /** As {@link #tryAcquire(String, LockMode, Duration)}; the answer may take so much longer, and not the request timeout. */
    public Optional<LockHandle> tryAcquire(String lock, LockMode mode, Duration wait, Duration answer) {
        return new Locks(client.withRequestTimeout(answer), client).tryAcquire(lock, mode, wait);
    }

    /** A mutex that belongs to the thread that locked it. All those of one path and client are one. */
    public DistributedLock mutex(String lock) {
        return new DistributedLock(client, lock, LockMode.EXCLUSIVE);
    }

    /** The shared side of a read-write lock, as {@link #mutex}. */
    public DistributedLock readLock(String lock) {
        return new DistributedLock(client, lock, LockMode.READ);
    }

    /** The exclusive side of a read-write lock, as {@link #mutex}. */
    public DistributedLock writeLock(String lock) {
        return new DistributedLock(client, lock, LockMode.WRITE);
    }

    /** Who has a lock and who waits for it, in the order of asking; the first 1,000. */
    public List<LockPlace> holders(String lock) {
        DescribeResponse answer =
                client.read(LockServiceGrpc.getDescribeMethod(), () -> DescribeRequest.newBuilder()
                        .setLock(lock)
                        .setRead(client.readOptions())
                        .build());
        client.core.saw(answer.getZxid());
        List<LockPlace> places = new ArrayList<>();
        answer.getPlacesList().forEach(place -> places.add(new LockPlace(place)));
        return places;
    }

    /**
     * {@code wait}: nothing for as long as the session lives; {@code owner}: nothing for one of its own.
     *
     * <p>Whoever waits has a place among {@link Window#LOCK_WAITS_MAX} for as long as it takes. Were there no others,
     * those that wait for a lock could keep its holder from the next lock that it needs, and so from ever releasing
     * the first. So who finds no place asks now and then without waiting, until it has the lock or a place.
     */
    Optional<LockHandle> ask(String lock, LockMode mode, Duration wait, String owner) {
        // What is waited for is the lock; the answer may take as long as any other.
        Deadline turn = wait == null ? Deadline.NEVER : Deadline.in(wait);
        Deadline deadline = turn.plus(client.requestTimeout);
        Deadline begun = client.deadline();
        Session session = client.core.session(begun);
        boolean limited = wait != null;
        try {
            if (limited && turn.isOver()) {
                return askAtOnce(session, lock, mode, owner, deadline);
            }
            Semaphore places = client.core.lockWaits;
            Backoff backoff = new Backoff();
            boolean placed = places.tryAcquire();
            while (!placed) {
                Optional<LockHandle> handle = askAtOnce(session, lock, mode, owner, deadline);
                if (handle.isPresent() || turn.isOver()) {
                    return handle;
                }
                // Together they ask no more often than a few would.
                long pause = backoff.nextNanos() * (1 + places.getQueueLength() / Window.LOCK_ASKS_MAX);
                placed = places.tryAcquire(Math.min(pause, Math.max(0, turn.leftNanos())), TimeUnit.NANOSECONDS);
                begun = client.deadline();
            }
            try {
                return ask(session, begun, deadline, turn, limited, lock, mode, owner);
            } finally {
                places.release();
            }
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
    }

    private Optional<LockHandle> askAtOnce(
            Session session, String lock, LockMode mode, String owner, Deadline deadline) throws InterruptedException {
        Semaphore places = client.core.lockAsks;
        if (!places.tryAcquire(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS)) {
            throw VivariumException.timedOut(false, null);
        }
        try {
            return ask(session, deadline, deadline, Deadline.in(Duration.ZERO), true, lock, mode, owner);
        } finally {
            places.release();
        }
    }

    /** {@code begun}: until when it has to be on its way. */
    private Optional<LockHandle> ask(
            Session session, Deadline begun, Deadline deadline, Deadline turn, boolean limited, String lock,
            LockMode mode, String named) {
        // Remembered by the place in the lock, so it holds up no other write.
        long number = client.number(session, begun);
        session.window.answered(number);
        String owner = named == null ? String.format("%016x", ThreadLocalRandom.current().nextLong()) : named;
        AcquireRequest request = AcquireRequest.newBuilder()
                .setHeader(client.header(session, number))
                .setLock(lock)
                .setOwner(owner)
                .setMode(mode.message)
                .setReentry(named == null ? Reentry.REENTRY_NONE : Reentry.REENTRY_COUNTING)
                .build();
        AcquireResponse answer;
        try {
            answer = client.core.call(deadline, session, LockServiceGrpc.getAcquireMethod(), () -> limited
                    ? request.toBuilder().setWaitMs(Math.max(0, turn.leftNanos() / 1_000_000)).build()
                    : request);
        } catch (VivariumException error) {
            // What was refused left nothing behind.
            if (error.mayBeDone() && !session.isLost() && !error.is(VivariumException.Kind.SESSION_LOST)) {
                client.core.tidy("the lock " + lock, () -> giveBack(session, request));
            }
            throw error;
        }
        client.core.saw(answer.getZxid());
        return answer.getAcquired()
                ? Optional.of(new LockHandle(holder, session, lock, owner, answer.getToken()))
                : Optional.<LockHandle>empty();
    }

    /** The same call again finds the place that it took, and leaves it or has the lock. */
    private void giveBack(Session session, AcquireRequest request) {
        AcquireRequest again = request.toBuilder().setWaitMs(0).build();
        AcquireResponse answer =
                client.core.call(Deadline.NEVER, session, LockServiceGrpc.getAcquireMethod(), () -> again);
        if (answer.getAcquired()) {
            release(client, session, Deadline.NEVER, request.getLock(), request.getOwner());
        }
    }

    static void release(VivariumClient client, Session session, Deadline deadline, String lock, String owner) {
        // That a lock is not held any more is no reason to keep another one.
        ReleaseResponse answer = client.withoutFences()
                .write(session, deadline, LockServiceGrpc.getReleaseMethod(), header -> ReleaseRequest.newBuilder()
                        .setHeader(header)
                        .setLock(lock)
                        .setOwner(owner)
                        .build());
        client.core.saw(answer.getZxid());
    }

    /** Which threads of this process hold what, of one client. */
    static final class Held {
        private final Map<Key, Hold> holds = new HashMap<>();

        static final class Hold {
            final LockHandle handle;
            int count = 1;

            Hold(LockHandle handle) {
                this.handle = handle;
            }
        }

        private static final class Key {
            final Thread thread;
            final String lock;
            final LockMode mode;

            Key(String lock, LockMode mode) {
                this.thread = Thread.currentThread();
                this.lock = lock;
                this.mode = mode;
            }

            @Override
            public boolean equals(Object other) {
                return other instanceof Key && ((Key) other).thread == thread && ((Key) other).lock.equals(lock)
                        && ((Key) other).mode == mode;
            }

            @Override
            public int hashCode() {
                return 31 * System.identityHashCode(thread) + lock.hashCode() + mode.hashCode();
            }
        }

        /** The calling thread's; {@code null} unless it holds it. What its session took along is none. */
        synchronized Hold get(String lock, LockMode mode) {
            Key key = new Key(lock, mode);
            Hold hold = holds.get(key);
            if (hold != null && hold.handle.session.isLost()) {
                return null;
            }
            return hold;
        }

        synchronized void put(String lock, LockMode mode, LockHandle handle) {
            // Of threads that ended without unlocking, and of sessions that are over.
            holds.entrySet().removeIf(
                    each -> each.getValue().handle.session.isLost() || !each.getKey().thread.isAlive());
            holds.put(new Key(lock, mode), new Hold(handle));
        }

        /** Forgets the calling thread's, whatever its session has come to. */
        synchronized Hold remove(String lock, LockMode mode) {
            return holds.remove(new Key(lock, mode));
        }

        synchronized Hold any(String lock, LockMode mode) {
            return holds.get(new Key(lock, mode));
        }
    }
}
