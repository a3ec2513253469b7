namespace KestrelEpollTransport.Tests.Polling;

// The suites of the contract on the kqueue poller over the model, with the structure of each system.
public sealed class KqueueModelDarwinContractTests() : PollerContractTests(PollerBackend.DarwinModel);

[Collection(RunsAlone.Name)]
public sealed class KqueueModelDarwinConcurrencyTests() : PollerConcurrencyTests(PollerBackend.DarwinModel);

public sealed class KqueueModelFreeBsdContractTests() : PollerContractTests(PollerBackend.FreeBsdModel);

[Collection(RunsAlone.Name)]
public sealed class KqueueModelFreeBsdConcurrencyTests() : PollerConcurrencyTests(PollerBackend.FreeBsdModel);
