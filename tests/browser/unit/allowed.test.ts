import assert from "node:assert/strict";
import { test } from "node:test";
import { keepAllowed, safeLink } from "../../../src/InferenceServer.Web/src/markdown/allowed.ts";

test("Tags that only say how text looks stay, with what they may have", () => {
  assert.equal(keepAllowed("<b>x</b> H<sub>2</sub>O <br/> <a href='https://h/?a=\"b' title=t onclick=x()>y</a>"),
    "<b>x</b> H<sub>2</sub>O <br> <a href=\"https://h/?a=&quot;b\" title=\"t\">y</a>");
});

test("Everything else is text, however it is written", () => {
  for (const html of ["<script>x</script>", "<ScRiPt src=x>", "<img src=x onerror=y>", "<svg/onload=x>", "<b/onclick=x>", "<b <script>", "<iframe\n>", "< script>", "<b\u0000 onclick=x>", "<b x=\"<script>\">"])
    assert.doesNotMatch(keepAllowed(html), /<(?!\/?b>|b title)/, html);
  assert.doesNotMatch(keepAllowed("<div style=\"x\" id=a class=b name=c onmouseover=d>"), /style|id=|class|name|onmouse/);
  assert.equal(keepAllowed("a<!-- <script> -->b"), "ab");
});

test("Links lead out, and run nothing", () => {
  for (const link of ["https://a.b/c", "HTTP://a", "mailto:a@b.c", "tel:1"])
    assert.equal(safeLink(link), link);
  for (const link of ["javascript:x", " javascript:x", "java\tscript:x", "data:text/html,x", "//a.b", "/status", "#x", "vbscript:x", "file:///etc"])
    assert.equal(safeLink(link), null, link);
  assert.equal(keepAllowed("<a href=\"javascript:x\">y</a>"), "<a>y</a>");
});
