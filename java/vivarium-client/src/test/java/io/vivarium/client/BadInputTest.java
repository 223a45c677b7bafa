package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import com.google.rpc.ErrorInfo;
import io.grpc.Server;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Waiting;
import io.vivarium.v1.ChangeKind;
import io.vivarium.v1.ChangeLogServiceGrpc;
import io.vivarium.v1.LockServiceGrpc;
import io.vivarium.v1.SnapshotBegin;
import io.vivarium.v1.SnapshotEnd;
import io.vivarium.v1.SubscribeRequest;
import io.vivarium.v1.SubscribeResponse;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class BadInputTest {
    private static final Duration SHORT = Duration.ofMillis(700);

    private static VivariumException refused(VivariumClient.Builder builder) {
        Set<Thread> before = threads();
        VivariumException error = assertThrows(VivariumException.class, builder::build);
        Waiting.until("no thread is left", () -> before.containsAll(threads()));
        return error;
    }

    private static Set<Thread> threads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("vivarium-") || thread.getName().contains("OkHttp"))
                .collect(Collectors.toSet());
    }

    private static void invalid(VivariumClient.Builder builder, String why) {
        VivariumException error = refused(builder);
        assertEquals(VivariumException.Kind.INVALID_OPTIONS, error.kind());
        assertTrue(error.getMessage().contains(why), error.getMessage());
    }

    private static VivariumClient.Builder at(String... endpoints) {
        return VivariumClient.builder().endpoints(endpoints);
    }

    @Test
    void optionsThatAreNotRightAreRefused() {
        invalid(at(), "1 to 64 endpoints");
        invalid(at(Collections.nCopies(65, "a:1").toArray(new String[0])), "1 to 64 endpoints");
        for (String endpoint : new String[] {"a", "a:", "a:0", "a:65536", ":1", "a b:1", "a:1/x", "::1:1", "u@a:1"}) {
            invalid(at(endpoint), endpoint);
        }
        for (String endpoint : new String[] {"a:1", "[::1]:2191", "http://10.0.0.1:2191/"}) {
            Options.parsed(endpoint);
        }
        assertEquals("[::1]:2191", Options.parsed("[::1]:2191").toString());
        invalid(at("a:1").sessionTimeout(Duration.ZERO), "session timeout");
        invalid(at("a:1").requestTimeout(Duration.ofSeconds(-1)), "request timeout");
        invalid(at("a:1").credentials("a:b", "c"), "no `:`");
        invalid(at("a:1").credentials("a", null), "a name and a password");
        invalid(at("a:1").credentials(null, "b"), "a name and a password");
        invalid(at("a:1").credentials("a", "b").token("c"), "not by both");
        invalid(at("a:1").token("a\nb"), "token");
    }

    @Test
    void whereNobodyServesItIsSaidWhatWasWrongAtEachEndpoint() throws Exception {
        String nobody = "127.0.0.1:" + Members.freePort();
        // Takes connections and never says anything.
        try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            String deaf = "127.0.0.1:" + silent.getLocalPort();
            VivariumException error = refused(at(nobody, deaf, "nowhere.invalid:1").connectTimeout(SHORT.multipliedBy(3)));
            assertEquals(VivariumException.Kind.UNREACHABLE, error.kind());
            assertTrue(error.getMessage().contains(nobody + ": UNAVAILABLE"), error.getMessage());
            assertTrue(error.getMessage().contains("Connection refused"), error.getMessage());
            assertTrue(error.getMessage().contains(deaf + ": no answer"), error.getMessage());
            assertTrue(error.getMessage().contains("nowhere.invalid:1: "), error.getMessage());
            assertFalse(error.mayBeDone());
            VivariumException tls =
                    refused(at(deaf).tls(Tls.system()).connectTimeout(SHORT));
            assertEquals(VivariumException.Kind.UNREACHABLE, tls.kind());
        }
    }

    @Test
    void aHeartbeatThatIsTooRareIsRefused() {
        try (Members members = Members.start(1)) {
            VivariumException error = refused(members.client()
                    .sessionTimeout(Duration.ofSeconds(3))
                    .heartbeatInterval(Duration.ofSeconds(2)));
            assertEquals(Reason.INVALID_HEARTBEAT, error.reason());
            VivariumException name = refused(members.client().clientId("x".repeat(257)));
            assertEquals(VivariumException.Kind.REFUSED, name.kind(), name.getMessage());
        }
    }

    private static void invalid(Executable call) {
        assertEquals(
                VivariumException.Kind.INVALID_OPTIONS,
                assertThrows(VivariumException.class, call).kind());
    }

    @Test
    void whatIsMoreThanAClientMayHaveIsRefused() {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().build()) {
            VivariumClient fenced = client;
            for (int each = 0; each < VivariumClient.FENCES_MAX; each++) {
                fenced = fenced.fenced(new Fence("/locks/a", each));
            }
            VivariumClient full = fenced;
            invalid(() -> full.fenced(new Fence("/locks/a", VivariumClient.FENCES_MAX)));
            for (int each = 0; each < Events.LISTENERS_MAX; each++) {
                client.addConnectionListener(state -> {});
            }
            invalid(() -> client.addConnectionListener(state -> {}));
            invalid(() -> client.withRequestTimeout(Duration.ZERO));
            invalid(() -> client.withRequestTimeout(null));
            client.registry().put("/still", "served");
        }
    }

    /** Refuses with a reason that nobody knows yet. */
    private static final class Locks extends LockServiceGrpc.LockServiceImplBase {
        @Override
        public void describe(
                io.vivarium.v1.DescribeRequest request, StreamObserver<io.vivarium.v1.DescribeResponse> answer) {
            ErrorInfo info = ErrorInfo.newBuilder()
                    .setDomain("vivarium")
                    .setReason("SOMETHING_NEW")
                    .putMetadata("limit", "3")
                    .build();
            answer.onError(StatusProto.toStatusRuntimeException(com.google.rpc.Status.newBuilder()
                    .setCode(io.grpc.Status.Code.FAILED_PRECONDITION.value())
                    .setMessage("why")
                    .addDetails(Any.pack(info))
                    .build()));
        }
    }

    @Test
    void aMemberOfAnotherReleaseIsToldApart() throws Exception {
        Server server = OtherMember.start(new Locks());
        try (VivariumClient client = at("127.0.0.1:" + server.getPort()).build()) {
            VivariumException older =
                    assertThrows(VivariumException.class, () -> client.registry().put("/a", ""));
            assertEquals(VivariumException.Kind.UNSUPPORTED, older.kind());
            assertTrue(older.getMessage().contains("vivarium.v1.RegistryService/Register"), older.getMessage());
            assertTrue(older.getMessage().contains("upgrade the servers first"), older.getMessage());
            assertFalse(older.mayBeDone());
            VivariumException watch = assertThrows(
                    VivariumException.class, () -> client.changes().subscribe(Interest.in("/a").snapshot()));
            assertEquals(VivariumException.Kind.UNSUPPORTED, watch.kind());

            VivariumException newer =
                    assertThrows(VivariumException.class, () -> client.locks().holders("/a"));
            assertEquals(VivariumException.Kind.REFUSED, newer.kind());
            assertEquals(Reason.UNSPECIFIED, newer.reason());
            assertEquals("SOMETHING_NEW", newer.reasonName());
            assertEquals("why (SOMETHING_NEW)", newer.getMessage());
            assertEquals("3", newer.details().get("limit"));
        } finally {
            server.shutdownNow();
        }
        Server empty = OtherMember.builder().build().start();
        try {
            VivariumException other = refused(at("127.0.0.1:" + empty.getPort()));
            assertEquals(VivariumException.Kind.UNSUPPORTED, other.kind());
        } finally {
            empty.shutdownNow();
        }
    }

    /** It tells of what this client has no words for, between what it has. */
    private static final class Later extends ChangeLogServiceGrpc.ChangeLogServiceImplBase {
        @Override
        public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> told) {
            told.onNext(SubscribeResponse.newBuilder().setSnapshotBegin(SnapshotBegin.newBuilder().setZxid(1)).build());
            told.onNext(SubscribeResponse.newBuilder().setUnknownFields(SOMETHING).build());
            told.onNext(SubscribeResponse.newBuilder()
                    .setEntry(io.vivarium.v1.Entry.newBuilder().setPath("/a").setModifiedZxid(1).setLifetimeValue(99))
                    .build());
            told.onNext(SubscribeResponse.newBuilder()
                    .setSnapshotEnd(SnapshotEnd.newBuilder().setZxid(1).setThroughZxid(1))
                    .build());
            told.onNext(SubscribeResponse.newBuilder()
                    .setTransaction(io.vivarium.v1.Transaction.newBuilder()
                            .setZxid(2)
                            .addChanges(change(99, "/a", "moved"))
                            .addChanges(change(ChangeKind.CHANGE_KIND_UPDATED_VALUE, "/a", "told"))
                            .setUnknownFields(SOMETHING))
                    .build());
        }

        private static io.vivarium.v1.Change.Builder change(int kind, String path, String value) {
            return io.vivarium.v1.Change.newBuilder()
                    .setKindValue(kind)
                    .setPath(path)
                    .setValue(ByteString.copyFromUtf8(value))
                    .setUnknownFields(SOMETHING);
        }

        private static final UnknownFieldSet SOMETHING = UnknownFieldSet.newBuilder()
                .addField(1_000, UnknownFieldSet.Field.newBuilder().addVarint(1).build())
                .build();
    }

    @Test
    void whatAMemberOfALaterReleaseTellsBeyondThisClientIsLeftOut() throws Exception {
        Server server = OtherMember.start(new Later());
        VivariumClient.Builder at = at("127.0.0.1:" + server.getPort());
        try (VivariumClient client = at.build(); VivariumClient another = at.build()) {
            Recorder<RegistryEvent> told = new Recorder<>(event -> event.type() + " " + event.path() + "=" + event.text());
            client.registry().subscribe("/a", told::tell);
            told.awaitExactly("ADD /a=", "UPDATE /a=told");
            ChangeSubscription changes = another.changes().subscribe(Interest.in("/a").snapshot());
            List<ChangeEvent> events = new ArrayList<>();
            Waiting.until("the transaction", () -> {
                ChangeEvent event = changes.next(Duration.ofMillis(100));
                if (event != null) {
                    events.add(event);
                }
                return event != null && event.kind() == ChangeEvent.Kind.TRANSACTION;
            });
            assertEquals(
                    List.of(Change.Kind.UNKNOWN, Change.Kind.UPDATED),
                    events.get(events.size() - 1).transaction().changes().stream()
                            .map(Change::kind)
                            .collect(Collectors.toList()));
            assertEquals(4, events.size(), events.toString());
        } finally {
            server.shutdownNow();
        }
    }

    @Test
    void everyReasonOfTheProtocolHasItsName() {
        List<String> names = java.util.Arrays.stream(io.vivarium.v1.ErrorReason.values())
                .filter(reason -> reason != io.vivarium.v1.ErrorReason.UNRECOGNIZED)
                .map(reason -> reason.name().substring("ERROR_REASON_".length()))
                .collect(Collectors.toList());
        assertEquals(
                Set.copyOf(names),
                java.util.Arrays.stream(Reason.values()).map(Reason::name).collect(Collectors.toSet()));
    }
}
