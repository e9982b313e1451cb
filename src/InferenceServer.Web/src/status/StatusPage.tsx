export function StatusPage() {
  return <main class="page-main" id="main"><h1>Status</h1></main>;
}
