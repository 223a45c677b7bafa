package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import io.vivarium.testkit.Background;
import io.vivarium.testkit.Waiting;
import io.vivarium.v1.AcknowledgeRingRequest;
import io.vivarium.v1.AcknowledgeRingResponse;
import io.vivarium.v1.DescribeRingRequest;
import io.vivarium.v1.RegisterRequest;
import io.vivarium.v1.RegisterResponse;
import io.vivarium.v1.RegistryServiceGrpc;
import io.vivarium.v1.RingServer;
import io.vivarium.v1.RingServiceGrpc;
import io.vivarium.v1.RingState;
import io.vivarium.v1.UnregisterRequest;
import io.vivarium.v1.UnregisterResponse;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class TaskServiceTest {
    private static final String SERVER = "10.0.0.1:10000";

    private static final class Host implements TaskHost {
        final AtomicInteger gained = new AtomicInteger();

        @Override
        public void execute(ClaimedTask task) {}

        @Override
        public void lost(List<Long> jobs) {
            gained.addAndGet(-jobs.size());
        }

        @Override
        public void gained(List<Long> jobs) {
            gained.addAndGet(jobs.size());
        }
    }

    /** Asked for in as many parts as the ensemble takes keys at once. */
    @Test
    void aServiceIsToldOfSoManyJobsAndNoMore() {
        Host host = new Host();
        long last = TaskService.JOBS_MAX + 1;
        List<Long> jobs = LongStream.rangeClosed(1, last).boxed().collect(Collectors.toList());
        try (Members members = Members.start(1);
                VivariumClient client = members.client().requestTimeout(Members.PATIENCE).build()) {
            VivariumException tooMany = assertThrows(
                    VivariumException.class,
                    () -> client.rings().granted(
                            "/servers", SERVER, 1, Collections.nCopies(Rings.KEYS_MAX + 1, "1")));
            assertEquals(VivariumException.Kind.REFUSED, tooMany.kind(), tooMany.getMessage());
            try (TaskService service = TaskService.init(client, "/tasks", "/servers", 4, SERVER, host)) {
                assertEquals(jobs.subList(0, TaskService.JOBS_MAX), service.monitored(jobs));
                assertEquals(TaskService.JOBS_MAX, host.gained.get());
                assertFalse(service.isLocalProcessing(last));
                assertTrue(service.isLocalProcessing(last - 1));
            }
            assertEquals(0, host.gained.get());
        }
    }

    /** Who asks for many, one after the other, while nobody answers, does not wait for each. */
    @Test
    void whileTheClientIsSuspendedNothingIsItsOwnAtOnce() {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().requestTimeout(Members.PATIENCE.multipliedBy(10)).build();
                TaskService service = TaskService.init(client, "/tasks", "/servers", 4, SERVER, new Host())) {
            assertTrue(service.isLocalProcessing(1));
            members.member(1).kill();
            Waiting.until("it is suspended", () -> !client.state().isConnected());
            assertFalse(new Background<>(() -> service.isLocalProcessing(1)).get());
            assertFalse(new Background<>(() -> service.isLocalProcessing(2)).get());
            members.member(1).start();
            Waiting.until("it is its own again", () -> service.isLocalProcessing(2));
        }
    }

    /** Its ring is another one whenever it is asked for. */
    private static final class Restless extends RingServiceGrpc.RingServiceImplBase {
        final AtomicInteger epoch = new AtomicInteger();
        final AtomicInteger acknowledged = new AtomicInteger();

        private RingState state() {
            return RingState.newBuilder()
                    .setEpoch(epoch.incrementAndGet())
                    .addServers(RingServer.newBuilder().setName(SERVER).setWeight(100))
                    .build();
        }

        @Override
        public void describe(DescribeRingRequest request, StreamObserver<RingState> answer) {
            answer.onNext(state());
            answer.onCompleted();
        }

        @Override
        public void watch(DescribeRingRequest request, StreamObserver<RingState> told) {
            told.onNext(RingState.newBuilder().setEpoch(epoch.get()).build());
        }

        @Override
        public void acknowledge(AcknowledgeRingRequest request, StreamObserver<AcknowledgeRingResponse> answer) {
            if (acknowledged.incrementAndGet() > 1) {
                answer.onError(OtherMember.refusal(Reason.STALE_EPOCH));
                return;
            }
            answer.onNext(AcknowledgeRingResponse.newBuilder().setZxid(1).build());
            answer.onCompleted();
        }
    }

    private static final class Entries extends RegistryServiceGrpc.RegistryServiceImplBase {
        @Override
        public void register(RegisterRequest request, StreamObserver<RegisterResponse> answer) {
            answer.onNext(RegisterResponse.getDefaultInstance());
            answer.onCompleted();
        }

        @Override
        public void unregister(UnregisterRequest request, StreamObserver<UnregisterResponse> answer) {
            answer.onNext(UnregisterResponse.getDefaultInstance());
            answer.onCompleted();
        }
    }

    @Test
    void aRingThatNeverRestsIsLeftAllTheSame() throws Exception {
        Restless ring = new Restless();
        Server server = OtherMember.start(ring, new Entries());
        try (VivariumClient client =
                VivariumClient.builder().endpoints("127.0.0.1:" + server.getPort()).build()) {
            TaskService service = TaskService.init(client, "/tasks", "/servers", 4, SERVER, new Host());
            service.close();
            assertEquals(1 + TaskService.LEAVE_TRIES_MAX, ring.acknowledged.get());
        } finally {
            server.shutdownNow();
        }
    }
}
