package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class ConsistentHashTest {
    private static JsonObject vectors() throws IOException {
        Path file = Path.of("../../tests/data/task_ring.json");
        return JsonParser.parseString(Files.readString(file)).getAsJsonObject();
    }

    private static List<String> texts(JsonArray array) {
        List<String> texts = new ArrayList<>();
        array.forEach(each -> texts.add(each.getAsString()));
        return texts;
    }

    @Test
    void theHashIsTheOriginalsForEveryLengthOfTail() throws IOException {
        JsonObject vectors = vectors();
        assertEquals(20, vectors.getAsJsonArray("hashes").size());
        for (JsonElement each : vectors.getAsJsonArray("hashes")) {
            JsonArray pair = each.getAsJsonArray();
            assertEquals(pair.get(1).getAsLong(), Murmur3Hash.hash64(pair.get(0).getAsString()));
        }
        for (JsonElement each : vectors.getAsJsonArray("virtual_nodes")) {
            JsonArray node = each.getAsJsonArray();
            String text = node.get(0).getAsString() + node.get(1).getAsInt();
            assertEquals(node.get(2).getAsLong(), Murmur3Hash.hash64(text), text);
        }
    }

    @Test
    void ownersAreTheOriginals() throws IOException {
        for (JsonElement each : vectors().getAsJsonArray("rings")) {
            JsonObject expected = each.getAsJsonObject();
            List<String> servers = texts(expected.getAsJsonArray("servers"));
            ConsistentHash<String> ring = new ConsistentHash<>(servers);
            assertEquals(expected.get("points").getAsLong(), ring.getSize());
            for (JsonElement owner : expected.getAsJsonArray("owners")) {
                JsonArray task = owner.getAsJsonArray();
                long id = task.get(0).getAsLong();
                assertEquals(task.get(1).getAsLong(), Murmur3Hash.hash64(Long.toString(id)));
                assertEquals(servers.get(task.get(2).getAsInt()), ring.get(id));
                assertEquals(ring.get(id), ring.get(Long.toString(id)));
            }
            int[] owned = new int[servers.size()];
            String[] before = new String[100_001];
            for (int id = 1; id <= 100_000; id++) {
                before[id] = ring.get((long) id);
                owned[servers.indexOf(before[id])]++;
            }
            JsonArray counts = expected.getAsJsonArray("owned_1_to_100000");
            for (int at = 0; at < owned.length; at++) {
                assertEquals(counts.get(at).getAsInt(), owned[at]);
            }
            // One after the other is the same as all at once.
            ConsistentHash<String> grown = new ConsistentHash<>(Collections.<String>emptyList());
            assertNull(grown.get(1L));
            servers.forEach(grown::add);
            assertEquals(ring.getSize(), grown.getSize());

            String last = servers.get(servers.size() - 1);
            grown.remove(last);
            JsonObject without = expected.getAsJsonObject("without_last_server");
            assertEquals(without.get("points").getAsLong(), grown.getSize());
            int moved = 0;
            int between = 0;
            for (int id = 1; id <= 100_000; id++) {
                String now = grown.get((long) id);
                moved += now.equals(before[id]) ? 0 : 1;
                between += now.equals(before[id]) || before[id].equals(last) ? 0 : 1;
            }
            assertEquals(without.get("moved_1_to_100000").getAsInt(), moved);
            assertEquals(without.get("moved_between_others").getAsInt(), between);
        }
    }

    /** The original's rule written down plainly: a sorted map into which points are put and from which they go. */
    private static final class Plain {
        final TreeMap<Long, String> points = new TreeMap<>();

        void add(String server) {
            for (int each = 0; each < ConsistentHash.REPLICAS; each++) {
                points.put(Murmur3Hash.hash64(server + each), server);
            }
        }

        void remove(String server) {
            for (int each = 0; each < ConsistentHash.REPLICAS; each++) {
                points.remove(Murmur3Hash.hash64(server + each));
            }
        }

        String get(long id) {
            Long place = points.ceilingKey(Murmur3Hash.hash64("" + id));
            return points.isEmpty() ? null : points.get(place == null ? points.firstKey() : place);
        }
    }

    @Test
    void pointsThatServersShareComeAndGoAsInTheOriginal() {
        // The names of the later ones are the first's with digits behind it.
        List<String> servers = List.of("host:1", "host:11", "host:112");
        Plain plain = new Plain();
        servers.forEach(plain::add);
        ConsistentHash<String> ring = new ConsistentHash<>(servers);
        List<Runnable> steps = List.of(
                () -> {},
                () -> {
                    plain.add("host:1");
                    ring.add("host:1");
                },
                () -> {
                    plain.remove("host:11");
                    ring.remove("host:11");
                },
                () -> {
                    plain.remove("host:none");
                    ring.remove("host:none");
                },
                () -> {
                    plain.add("host:11");
                    ring.add("host:11");
                },
                () -> {
                    servers.forEach(plain::remove);
                    servers.forEach(ring::remove);
                });
        for (Runnable step : steps) {
            step.run();
            assertEquals(plain.points.size(), ring.getSize());
            for (long id = -2_000; id < 2_000; id++) {
                assertEquals(plain.get(id), ring.get(id));
            }
        }
        assertEquals(0, ring.getSize());
    }

    @Test
    void serversOfAnyTypeAreHashedByTheirText() {
        ConsistentHash<Integer> ring = new ConsistentHash<>(List.of(71, 82));
        ConsistentHash<String> texts = new ConsistentHash<>(List.of("71", "82"));
        for (long id = 0; id < 1_000; id++) {
            assertEquals(texts.get(id), ring.get(id).toString());
        }
    }
}
