package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.v1.SessionRef;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class WindowTest {
    private static final Deadline AT_ONCE = Deadline.in(Duration.ZERO);

    @Test
    void noWriteIsFarAheadOfOneWithoutAnAnswer() throws Exception {
        assertTrue(2 * Window.WRITES_MAX + Window.LOCK_WAITS_MAX + Window.LOCK_ASKS_MAX <= Window.REMEMBERED);
        Window window = new Window();
        for (long each = 1; each <= Window.WRITES_MAX; each++) {
            assertEquals(each, window.take(AT_ONCE));
        }
        // That all others are answered does not help.
        for (long each = 2; each <= Window.WRITES_MAX; each++) {
            window.answered(each);
        }
        assertEquals(-1, window.take(AT_ONCE));
        CompletableFuture<Long> waiting = CompletableFuture.supplyAsync(() -> {
            try {
                return window.take(Deadline.NEVER);
            } catch (InterruptedException interrupted) {
                throw new AssertionError(interrupted);
            }
        });
        window.answered(1);
        assertEquals(Window.WRITES_MAX + 1L, waiting.get(60, TimeUnit.SECONDS));
    }

    @Test
    void whatIsKnownOfASessionGrowsOld() {
        long timeout = TimeUnit.HOURS.toNanos(1);
        Session session = new Session(SessionRef.getDefaultInstance(), timeout, 0);
        assertFalse(session.isKnownToLive(), "nothing was answered yet");
        session.vouch(System.nanoTime());
        assertTrue(session.isKnownToLive());
        // The answer to a sign of long ago.
        session.vouch(System.nanoTime() - timeout / 2);
        assertFalse(session.isKnownToLive());
        session.vouch(System.nanoTime());
        session.doubt();
        assertFalse(session.isKnownToLive());
        session.vouch(System.nanoTime());
        session.lose();
        assertFalse(session.isKnownToLive());
        boolean[] told = {false};
        session.whenLost(() -> told[0] = true);
        assertTrue(told[0], "also who comes late");
    }

    @Test
    void pausesGrowUpToABoundAndAreNotAllAlike() {
        Backoff backoff = new Backoff();
        long first = backoff.nextNanos();
        assertTrue(first >= TimeUnit.MILLISECONDS.toNanos(10) && first <= TimeUnit.MILLISECONDS.toNanos(20));
        long before = 0;
        boolean differs = false;
        for (int each = 0; each < 50; each++) {
            long pause = backoff.nextNanos();
            assertTrue(pause <= TimeUnit.SECONDS.toNanos(1));
            differs |= each > 10 && pause != before;
            before = pause;
        }
        assertTrue(differs && before >= TimeUnit.MILLISECONDS.toNanos(500));
        Backoff within = Backoff.within(TimeUnit.MILLISECONDS.toNanos(500));
        for (int each = 0; each < 20; each++) {
            assertTrue(within.nextNanos() <= TimeUnit.MILLISECONDS.toNanos(50));
        }
    }

    @Test
    void aHeartbeatIsNeverRarerThanAQuarterOfTheTimeout() {
        VivariumClient.Builder builder = VivariumClient.builder().endpoints("a:1");
        assertEquals(2_000_000_000L, new Options(builder).heartbeatNanos(10_000_000_000L));
        Options rare = new Options(builder.heartbeatInterval(Duration.ofSeconds(3)));
        assertEquals(2_500_000_000L, rare.heartbeatNanos(10_000_000_000L));
        assertEquals(3_000_000_000L, rare.heartbeatNanos(60_000_000_000L));
    }
}
