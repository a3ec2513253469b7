namespace KestrelEpollTransport.Tests.Listening;

[Collection(RunsAlone.Name)]
public sealed class KqueueModelSharedListenerTests() : SharedListenerTests(PollerBackend.FreeBsdModel);
