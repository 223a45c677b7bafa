package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Waiting;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class RingsTest {
    private static final String A = "10.0.0.1:10000";
    private static final String B = "10.0.0.2:10000";

    private static Members members;
    private static VivariumClient client;

    @BeforeAll
    static void start() {
        members = Members.start(1);
        client = members.client().build();
    }

    @AfterAll
    static void stop() {
        client.close();
        members.close();
    }

    private static List<String> keys() {
        List<String> keys = new ArrayList<>();
        for (int each = 0; each < 200; each++) {
            keys.add("" + each);
        }
        return keys;
    }

    private static Reason reason(Runnable work) {
        return assertThrows(VivariumException.class, work::run).reason();
    }

    @Test
    void whatIsComputedHereIsWhatTheEnsembleAnswers() {
        Rings rings = client.rings();
        assertEquals(Reason.EMPTY_RING, reason(() -> rings.owner("/r1", RingMode.EQUAL, "1")));
        client.registry().register("/r1/" + A, NodeInfo.builder().weight(300).build());
        long first = rings.describe("/r1", RingMode.EQUAL).epoch();
        client.registry().register("/r1/" + B, NodeInfo.builder().weight(100).build());
        for (RingMode mode : RingMode.values()) {
            Ring ring = rings.describe("/r1", mode);
            assertEquals(List.of(A, B), ring.servers());
            Owners owners = rings.owners("/r1", mode, keys(), ring.epoch());
            assertEquals(ring.epoch(), owners.epoch());
            for (int at = 0; at < 200; at++) {
                assertEquals(owners.owners().get(at), ring.owner("" + at), mode + " " + at);
                assertEquals(owners.owners().get(at).equals(A), ring.isLocal(A, at));
            }
        }
        Ring ring = rings.describe("/r1", RingMode.EQUAL);
        assertEquals(Reason.STALE_EPOCH, reason(() -> rings.owners("/r1", RingMode.EQUAL, keys(), first)));
        List<MovedKey> moved = rings.moved("/r1", RingMode.EQUAL, keys(), first);
        assertFalse(moved.isEmpty());
        for (MovedKey each : moved) {
            assertEquals(A, each.from());
            assertEquals(B, each.to());
            assertEquals(B, ring.owner(each.key()));
        }
        assertTrue(List.of(A, B).contains(rings.pick("/r1", PickStrategy.SMOOTH_ROUND_ROBIN)));
        Slot slot = rings.slot("/r1", B);
        assertEquals(1, slot.slot());
        assertEquals(2, slot.total());
        assertEquals(Reason.NO_ENTRY, reason(() -> rings.slot("/r1", "nobody")));
    }

    /** A key passes on where its owner has its fill. */
    @Test
    void noOwnerHasMuchMoreThanItsShare() {
        client.registry().register("/r4/" + A, "");
        long first = client.rings().describe("/r4", RingMode.EQUAL).epoch();
        client.registry().register("/r4/" + B, "");
        List<String> free = client.rings().owners("/r4", RingMode.EQUAL, keys()).owners();
        Owners bounded = client.rings().owners("/r4", RingMode.EQUAL, keys(), 1.01, Map.of());
        assertTrue(Collections.frequency(bounded.owners(), A) <= 101);
        assertTrue(Collections.frequency(bounded.owners(), B) <= 101);
        // One of them is full already.
        assertTrue(free.contains(A));
        Owners full = client.rings().owners("/r4", RingMode.EQUAL, keys(), 1.01, Map.of(A, 1_000L));
        assertEquals(Collections.nCopies(200, B), full.owners());
        assertEquals(
                Reason.INVALID_ARGUMENT,
                reason(() -> client.rings().owners("/r4", RingMode.EQUAL, keys(), 1.0, Map.of())));
        long second = client.rings().describe("/r4", RingMode.EQUAL).epoch();
        client.registry().delete("/r4/" + A);
        for (MovedKey each : client.rings().moved("/r4", RingMode.EQUAL, keys(), first, second)) {
            assertEquals(A, each.from());
            assertEquals(B, each.to());
        }
        assertEquals(200, client.rings().moved("/r4", RingMode.EQUAL, keys(), first).size());
    }

    @Test
    void aRingIsFollowed() {
        List<Ring> told = new CopyOnWriteArrayList<>();
        RingWatch watch = client.rings().watch("/r2", RingMode.EQUAL, told::add);
        Waiting.until("as it is", () -> told.size() == 1);
        assertNull(told.get(0).owner("1"));
        assertEquals(Collections.emptyList(), told.get(0).monitored(A, List.of(1L, 2L)));
        client.registry().register("/r2/" + A, "");
        Waiting.until("as it became", () -> watch.current().servers().equals(List.of(A)));
        assertEquals(List.of(1L, 2L), watch.current().monitored(A, List.of(1L, 2L)));
        client.registry().delete("/r2/" + A);
        Waiting.until("empty again", () -> watch.current().servers().isEmpty());
        watch.close();
        watch.close();
    }

    @Test
    void aKeyIsGrantedOnceTheOtherHasLetGoOfIt() {
        Rings rings = client.rings();
        client.registry().register("/r3/" + A, "");
        try (VivariumClient other = members.client().build()) {
            long first = rings.describe("/r3", RingMode.EQUAL).epoch();
            long byA = rings.acknowledge("/r3", A, first);
            assertTrue(rings.granted("/r3", A, byA, keys()).stream().allMatch(KeyGrant::granted));
            other.registry().register("/r3/" + B, "");
            long second = other.rings().describe("/r3", RingMode.EQUAL).epoch();
            assertEquals(Reason.STALE_EPOCH, reason(() -> rings.acknowledge("/r3", A, first)));
            long byB = other.rings().acknowledge("/r3", B, second);
            KeyGrant waiting = other.rings().granted("/r3", B, byB, keys()).stream()
                    .filter(grant -> grant.owner().equals(B))
                    .findFirst()
                    .orElseThrow();
            assertFalse(waiting.granted());
            assertEquals(A, waiting.holder());
            assertEquals(first, waiting.holderEpoch());
            rings.acknowledge("/r3", A, second);
            for (KeyGrant grant : other.rings().granted("/r3", B, byB, keys())) {
                assertEquals(grant.owner().equals(B), grant.granted());
            }
        }
    }
}
