namespace KestrelEpollTransport.Tests.Polling;

// The suites of the contract on every backend. On Linux the models of kqueue stand for the BSDs' own; on macOS the system's
// poller is the kernel's kqueue, and the models can't run.
public sealed class SystemPollerContractTests() : PollerContractTests(PollerBackend.System);

[Collection(RunsAlone.Name)]
public sealed class SystemPollerConcurrencyTests() : PollerConcurrencyTests(PollerBackend.System);

public sealed class KqueueModelDarwinContractTests() : PollerContractTests(PollerBackend.DarwinModel);

[Collection(RunsAlone.Name)]
public sealed class KqueueModelDarwinConcurrencyTests() : PollerConcurrencyTests(PollerBackend.DarwinModel);

public sealed class KqueueModelFreeBsdContractTests() : PollerContractTests(PollerBackend.FreeBsdModel);

[Collection(RunsAlone.Name)]
public sealed class KqueueModelFreeBsdConcurrencyTests() : PollerConcurrencyTests(PollerBackend.FreeBsdModel);
