package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class LocksTest {
    private static Members members;
    private static VivariumClient client;
    private static VivariumClient other;

    @BeforeAll
    static void start() {
        members = Members.start(1);
        client = members.client().build();
        other = members.client().build();
    }

    @AfterAll
    static void stop() {
        client.close();
        other.close();
        members.close();
    }

    private static void awaitWaiting(String lock, int places) {
        Waiting.until("so many ask for " + lock, () -> client.locks().holders(lock).size() == places);
    }

    @Test
    void aLockPassesOnInTheOrderOfAskingWithGrowingTokens() throws Exception {
        LockHandle first = client.locks().acquire("/locks/order");
        assertTrue(first.isHeld());
        assertEquals(Optional.empty(), other.locks().tryAcquire("/locks/order"));
        CompletableFuture<LockHandle> second =
                CompletableFuture.supplyAsync(() -> other.locks().acquire("/locks/order"));
        awaitWaiting("/locks/order", 2);
        List<LockPlace> places = client.locks().holders("/locks/order");
        assertTrue(places.get(0).holds());
        assertEquals(client.sessionId(), places.get(0).sessionId());
        assertFalse(places.get(1).holds());
        first.release();
        assertFalse(first.isHeld());
        LockHandle now = second.get(Members.PATIENCE.toSeconds(), TimeUnit.SECONDS);
        assertTrue(now.token() > first.token());
        // Releasing twice is harmless.
        first.release();
        now.close();
        awaitWaiting("/locks/order", 0);
    }

    @Test
    void whoWaitsLessLongGivesUpItsPlace() {
        try (LockHandle held = client.locks().acquire("/locks/timed")) {
            assertFalse(other.locks().tryAcquire("/locks/timed", Duration.ofMillis(50)).isPresent());
            assertEquals(1, client.locks().holders("/locks/timed").size());
            assertEquals(held.token(), client.locks().holders("/locks/timed").get(0).token());
        }
        other.locks().tryAcquire("/locks/timed", Duration.ofSeconds(10)).orElseThrow().release();
        // Also where the answer may not take long; what it holds is released by a call like any other.
        other.locks()
                .tryAcquire("/locks/timed", LockMode.EXCLUSIVE, Duration.ZERO, Members.PATIENCE)
                .orElseThrow()
                .release();
        VivariumException late = assertThrows(
                VivariumException.class,
                () -> other.locks().tryAcquire(
                        "/locks/timed", LockMode.EXCLUSIVE, Duration.ZERO, Duration.ofNanos(1)));
        assertEquals(VivariumException.Kind.TIMED_OUT, late.kind());
        awaitWaiting("/locks/timed", 0);
    }

    @Test
    void readersShareAndWritersDoNot() {
        LockHandle reader = client.locks().acquire("/locks/rw", LockMode.READ);
        LockHandle another = other.locks().acquire("/locks/rw", LockMode.READ);
        assertFalse(other.locks().tryAcquire("/locks/rw", LockMode.WRITE, Duration.ZERO).isPresent());
        VivariumException mixed =
                assertThrows(VivariumException.class, () -> other.locks().acquire("/locks/rw"));
        assertEquals(Reason.KIND_MISMATCH, mixed.reason());
        reader.release();
        another.release();
        other.locks().tryAcquire("/locks/rw", LockMode.WRITE, Duration.ZERO).orElseThrow().release();
    }

    @Test
    void aThreadMayLockAgainAndHasToUnlockAsOften() {
        DistributedLock lock = client.locks().mutex("/locks/again");
        lock.lock();
        // Another object for the same path is the same lock.
        assertTrue(client.locks().mutex("/locks/again").tryLock());
        assertEquals(2, lock.holds());
        assertTrue(lock.isHeldByCurrentThread());
        assertFalse(other.locks().mutex("/locks/again").tryLock());
        lock.unlock();
        assertFalse(other.locks().mutex("/locks/again").tryLock());
        assertEquals(client.locks().holders("/locks/again").get(0).token(), lock.fence().token());
        lock.unlock();
        assertTrue(other.locks().mutex("/locks/again").tryLock());
        other.locks().mutex("/locks/again").unlock();
    }

    /** A name is the session's own, and counts how often it holds the lock. */
    @Test
    void aNameMayHaveALockAgainAndHasToReleaseItAsOften() {
        LockHandle first = client.locks().acquireAs("planner", "/locks/named", LockMode.EXCLUSIVE);
        LockHandle again = client.locks().acquireAs("planner", "/locks/named", LockMode.EXCLUSIVE);
        assertEquals(first.token(), again.token());
        assertEquals("planner", client.locks().holders("/locks/named").get(0).owner());
        for (VivariumClient stranger : List.of(client, other)) {
            String name = stranger == client ? "another" : "planner";
            assertFalse(stranger.locks()
                    .tryAcquireAs(name, "/locks/named", LockMode.EXCLUSIVE, Duration.ZERO)
                    .isPresent());
        }
        first.release();
        assertFalse(other.locks().tryAcquire("/locks/named").isPresent());
        again.release();
        other.locks().tryAcquire("/locks/named").orElseThrow().release();
        VivariumException tooLong = assertThrows(
                VivariumException.class,
                () -> client.locks().acquireAs("x".repeat(257), "/locks/named", LockMode.EXCLUSIVE));
        assertEquals(VivariumException.Kind.REFUSED, tooLong.kind());
    }

    @Test
    void anotherThreadNeitherLocksItAgainNorReleasesIt() throws Exception {
        DistributedLock lock = client.locks().mutex("/locks/thread");
        lock.lock();
        CompletableFuture<Void> released = CompletableFuture.runAsync(lock::unlock);
        ExecutionException refused = assertThrows(ExecutionException.class, released::get);
        VivariumException why = (VivariumException) refused.getCause();
        assertEquals(VivariumException.Kind.REFUSED, why.kind());
        assertEquals(Reason.NOT_HOLDER, why.reason());
        assertFalse(CompletableFuture.supplyAsync(lock::tryLock).get());
        assertTrue(lock.isHeldByCurrentThread());
        lock.unlock();
        assertEquals(
                Reason.NOT_HOLDER, assertThrows(VivariumException.class, lock::unlock).reason());
    }

    @Test
    void anInterruptedThreadGivesUpItsPlace() throws Exception {
        LockHandle held = client.locks().acquire("/locks/interrupted");
        AtomicReference<Throwable> told = new AtomicReference<>();
        Thread waiting = new Thread(() -> {
            try {
                other.locks().mutex("/locks/interrupted").lockInterruptibly();
            } catch (InterruptedException | RuntimeException error) {
                told.set(error);
            }
        });
        waiting.start();
        awaitWaiting("/locks/interrupted", 2);
        waiting.interrupt();
        Waiting.join(waiting);
        assertTrue(told.get() instanceof InterruptedException, "" + told.get());
        awaitWaiting("/locks/interrupted", 1);
        held.release();

        Thread.currentThread().interrupt();
        VivariumException error =
                assertThrows(VivariumException.class, () -> client.locks().acquire("/locks/interrupted"));
        assertEquals(VivariumException.Kind.INTERRUPTED, error.kind());
        assertTrue(Thread.interrupted(), "the flag is set again");
        awaitWaiting("/locks/interrupted", 0);
    }

    /** More wait for a lock than a client has places for; its holder needs another one before it releases it. */
    @Test
    void whoHoldsALockMayAskForTheNextOneHoweverManyWait() throws Exception {
        int waiters = Window.LOCK_WAITS_MAX + Window.LOCK_ASKS_MAX + 8;
        LockHandle first = client.locks().acquire("/locks/crowded");
        ExecutorService threads = Executors.newFixedThreadPool(waiters);
        try {
            List<CompletableFuture<Void>> waiting = new ArrayList<>();
            for (int each = 0; each < waiters; each++) {
                waiting.add(CompletableFuture.runAsync(
                        () -> client.locks().acquire("/locks/crowded").release(), threads));
            }
            Waiting.until("all places are taken", () -> client.core.lockWaits.availablePermits() == 0);
            client.locks().tryAcquire("/locks/free").orElseThrow().release();
            client.locks().acquire("/locks/free").release();
            LockHandle taken = other.locks().acquire("/locks/taken");
            assertFalse(client.locks().tryAcquire("/locks/taken").isPresent());
            assertFalse(client.locks().tryAcquire("/locks/taken", Duration.ofMillis(50)).isPresent());
            CompletableFuture<LockHandle> second =
                    CompletableFuture.supplyAsync(() -> client.locks().acquire("/locks/taken"));
            taken.release();
            second.get(Members.PATIENCE.toSeconds(), TimeUnit.SECONDS).release();
            first.release();
            for (CompletableFuture<Void> each : waiting) {
                each.get(Members.PATIENCE.toSeconds(), TimeUnit.SECONDS);
            }
            assertEquals(Window.LOCK_WAITS_MAX, client.core.lockWaits.availablePermits());
            assertEquals(Window.LOCK_ASKS_MAX, client.core.lockAsks.availablePermits());
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void aLockEndsWithItsSession() throws Exception {
        VivariumClient gone = members.client().build();
        LockHandle held = gone.locks().acquire("/locks/session");
        DistributedLock mutex = gone.locks().mutex("/locks/session2");
        mutex.lock();
        CompletableFuture<LockHandle> next =
                CompletableFuture.supplyAsync(() -> client.locks().acquire("/locks/session"));
        awaitWaiting("/locks/session", 2);
        gone.close();
        assertFalse(held.isHeld());
        assertTrue(held.awaitLost(Duration.ofSeconds(10)));
        assertFalse(mutex.isHeldByCurrentThread());
        assertEquals(
                VivariumException.Kind.SESSION_LOST,
                assertThrows(VivariumException.class, mutex::unlock).kind());
        next.get(Members.PATIENCE.toSeconds(), TimeUnit.SECONDS).release();
    }
}
