package bare
import ("testing";"context";"time";"github.com/throttlerd/throttlerd/tests/redistest";"fmt")
func TestBare(t *testing.T){
 s:=redistest.Start(t, redistest.WithAOF())
 lost:=0
 for round:=range 40 {
  rdb:=s.Client(); last:=0; stop:=time.Now().Add(300*time.Millisecond)
  for i:=1; time.Now().Before(stop); i++ { if rdb.Set(context.Background(),"k",fmt.Sprint(round*1000000+i),0).Err()==nil {last=round*1000000+i} }
  s.Kill(); s.Restart(); rdb.Close(); rdb=s.Client()
  v,_:=rdb.Get(context.Background(),"k").Int(); rdb.Close()
  if v<last { lost++; t.Logf("round %d: last acked %d, there %d", round,last,v) }
 }
 t.Logf("%d of 40 kills lost acknowledged writes", lost)
}
