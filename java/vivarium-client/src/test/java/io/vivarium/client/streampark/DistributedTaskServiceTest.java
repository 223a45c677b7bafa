package io.vivarium.client.streampark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.client.Members;
import io.vivarium.client.TaskFailure;
import io.vivarium.client.TaskStanding;
import io.vivarium.client.VivariumClient;
import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class DistributedTaskServiceTest {
    private static final String A = "10.0.0.1:10000";
    private static final String B = "10.0.0.2:10000";

    /** An application is its id. */
    private static final class Host implements Applications<Long> {
        final Set<Long> own = ConcurrentHashMap.newKeySet();
        final List<String> done = new CopyOnWriteArrayList<>();
        final Map<Long, Semaphore> held = new ConcurrentHashMap<>();

        @Override
        public long appId(Long application) {
            return application;
        }

        @Override
        public String engineType(Long application) {
            return "flink";
        }

        @Override
        public Map<String, String> properties(Long application) {
            return Map.of("args", "-app " + application);
        }

        @Override
        public void executeDistributedTask(DistributedTask task) throws Exception {
            if (task.getAction() == DistributedTaskEnum.ABORT) {
                throw new TaskFailure("it cannot be aborted", Duration.ofMillis(1));
            }
            Semaphore until = held.get(task.getAppId());
            if (until != null) {
                until.acquire();
            }
            assertEquals("-app " + task.getAppId(), task.getProperties().get("args"));
            done.add(task.getAction() + " " + task.getAppId());
        }

        @Override
        public void lost(List<Long> appIds) {
            own.removeAll(appIds);
        }

        @Override
        public void gained(List<Long> appIds) {
            own.addAll(appIds);
        }
    }

    private static final List<Long> IDS = LongStream.range(100_000, 100_040).boxed().collect(Collectors.toList());

    private static DistributedTaskService<Long> service(VivariumClient client, Host host) {
        return new DistributedTaskService<>(client, "/tasks", "/servers", 4, host);
    }

    @Test
    void jobsAndTheirOperationsGoToTheirOwnersAndAreHandedOver() throws Exception {
        try (Members members = Members.start(1);
                VivariumClient first = members.client().build();
                VivariumClient second = members.client().build()) {
            Host one = new Host();
            Host two = new Host();
            DistributedTaskService<Long> a = service(first, one);
            assertThrows(IllegalStateException.class, () -> a.isLocalProcessing(1L));
            a.init(A);
            assertThrows(IllegalStateException.class, () -> a.init(A));
            assertTrue(a.isLocalProcessing(100_001L), "alone, everything is local");
            assertEquals(IDS, a.getMonitoredTaskList(IDS));
            Waiting.until("it has all", () -> one.own.containsAll(IDS));

            // One operation holds up the hand-over of its job.
            DistributedTaskService<Long> b = service(second, two);
            Long slow = IDS.stream()
                    .filter(id -> new io.vivarium.client.ConsistentHash<>(List.of(A, B)).get(id).equals(B))
                    .findFirst()
                    .orElseThrow();
            Semaphore until = new Semaphore(0);
            one.held.put(slow, until);
            a.saveDistributedTask(slow, true, DistributedTaskEnum.START);
            Waiting.until("it is begun", () -> until.hasQueuedThreads());
            b.init(Set.of(A, B), B);
            List<Long> atFirst = b.getMonitoredTaskList(IDS);
            assertFalse(b.isLocalProcessing(slow));
            Waiting.until("the other has heard of it", () -> !a.isLocalProcessing(slow));
            assertFalse(b.isLocalProcessing(slow), "it is nobody's until it has ended");
            assertTrue(atFirst.isEmpty(), "nothing is granted before the other has let go: " + atFirst);
            until.release();
            Set<Long> ofB = IDS.stream()
                    .filter(id -> new io.vivarium.client.ConsistentHash<>(List.of(A, B)).get(id).equals(B))
                    .collect(Collectors.toSet());
            Waiting.until("it gained its own", () -> two.own.equals(ofB));
            assertTrue(one.own.stream().noneMatch(ofB::contains));
            assertEquals(List.of("START " + slow), one.done);
            assertEquals(ofB, new HashSet<>(b.getMonitoredTaskList(IDS)));

            for (Long id : IDS) {
                (id % 2 == 0 ? a : b).saveFlinkTask(id, false, DistributedTaskEnum.CANCEL);
            }
            Waiting.until("all are done", () -> one.done.size() + two.done.size() == IDS.size() + 1);
            assertEquals(
                    ofB.stream().map(id -> "CANCEL " + id).collect(Collectors.toSet()), new HashSet<>(two.done));

            // What fails to the end is kept.
            long dead = a.saveDistributedTask(slow, false, DistributedTaskEnum.ABORT).id();
            Waiting.until("it is dead", () -> first.tasks().listDead("/tasks").size() == 1);
            assertEquals(TaskStanding.DEAD, first.tasks().get("/tasks", dead).standing());
            assertEquals("it cannot be aborted", first.tasks().get("/tasks", dead).error());

            // When its client goes, the other has everything again.
            second.close();
            Waiting.until("it has all again", () -> one.own.containsAll(IDS));
            Waiting.until("it was told that it has none", () -> two.own.isEmpty());
            b.close();
            a.addServer(B);
            Waiting.until("it lost them", () -> one.own.stream().noneMatch(ofB::contains));
            a.removeServer(B);
            Waiting.until("it has all at last", () -> one.own.containsAll(IDS));
            a.close();
            assertTrue(one.own.isEmpty());
            assertEquals(List.of(), new ArrayList<>(first.registry().children("/servers")));
        }
    }
}
