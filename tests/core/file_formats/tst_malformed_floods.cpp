// SPDX-License-Identifier: GPL-3.0-or-later
// safetensors, GGUF and shard indexes that ask for more work or memory than their bytes are worth, overlap or repeat
// themselves: each is opened or refused within a second and 256 MB.
#include "tests/support/bounded_open.h"
#include "tests/support/checkpoint_files.h"

#include <QTest>

#include <limits>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr auto kMalformed = ErrorCode::Malformed;
constexpr auto kShort = ErrorCode::Truncated;

std::string repeated(const std::string& part, std::size_t times)
{
    std::string all;
    all.reserve(part.size() * times);
    for (std::size_t i = 0; i < times; ++i)
        all += part;
    return all;
}

/// {"prefix0":value,"prefix1":value,…} with `extra` in front.
std::string object(
    std::size_t count, const std::string& prefix, const std::string& value, const std::string& extra = {})
{
    std::string json = "{" + extra;
    for (std::size_t i = 0; i < count; ++i)
        json += (json.size() > 1 ? ",\"" : "\"") + prefix + std::to_string(i) + "\":" + value;
    return json + "}";
}

std::string tensor(std::uint64_t begin, std::uint64_t end, const char* shape, const char* dtype = "U8")
{
    return std::string(R"({"dtype":")") + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)"
        + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string array(std::uint32_t type, std::uint64_t count, const std::string& items = {})
{
    return raw(type) + raw(count) + items;
}

void row(const char* name, const std::string& file, std::optional<ErrorCode> code, const char* reason)
{
    QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << (code ? int(*code) : -1)
                        << QByteArray(reason);
}

#ifndef Q_MOC_RUN  // which loses its way among so many brackets in texts

void safetensorsRows()
{
    const auto header = [](const std::string& json) { return safetensorsFile(json, 0); };
    row("100,000 tensors of nothing", header(object(100'000, "t", tensor(0, 0, "[0]"))), {}, "");
    row("a million keys of metadata", header(R"({"__metadata__":)" + object(300'000, "", "\"\"") + "}"), {}, "");
    row("more than a million tensors", header(object(1'000'100, "", "{}")), kMalformed, "");
    row("tensors overlap", safetensorsFile("{\"a\":" + tensor(0, 4, "[4]") + ",\"b\":" + tensor(2, 6, "[4]") + "}", 6),
        kMalformed, "'b'");
    row("tensors of one place",
        safetensorsFile("{\"a\":" + tensor(0, 4, "[4]") + ",\"b\":" + tensor(0, 4, "[4]") + "}", 4), kMalformed, "");
    row("tensor inside another",
        safetensorsFile("{\"a\":" + tensor(0, 8, "[8]") + ",\"b\":" + tensor(2, 4, "[2]") + "}", 8), kMalformed, "");
    row("a hole", safetensorsFile("{\"a\":" + tensor(0, 4, "[4]") + ",\"b\":" + tensor(5, 9, "[4]") + "}", 9),
        kMalformed, "");
    row("end before begin", safetensorsFile("{\"a\":" + tensor(4, 0, "[4]") + "}", 4), kMalformed, "");
    row("end of 2^64-1", safetensorsFile("{\"a\":" + tensor(0, ~0ULL, "[4]") + "}", 4), kMalformed, "");
    row("bytes behind the last", safetensorsFile("{\"a\":" + tensor(0, 4, "[4]") + "}", 5), kMalformed, "");
    row("an endless key", header("{\"" + std::string(5'000'000, 'k') + "\":1}"), kMalformed, "");
    row("an endless text", header(R"({"__metadata__":{"k":")" + std::string(5'000'000, 'v') + "\"}}"), {}, "");
    row("an endless number", header("{\"a\":" + std::string(5'000'000, '9') + "}"), kMalformed, "");
    row("escapes", header(R"({"__metadata__":{"k":")" + repeated("\\u00e4", 2'000'000) + "\"}}"), {}, "");
    row("spaces", header("{" + std::string(10'000'000, ' ') + "}"), {}, "");
    row("brackets", header(std::string(1'000'000, '{')), kMalformed, "");
    row("lists in a field", header(R"({"a":{"shape":)" + std::string(1'000'000, '[') + "}}"), kMalformed,
        "whole number");
    row("unknown keys",
        header("{\"a\":" + object(200'000, "k", "0", R"("dtype":"U8","shape":[0],"data_offsets":[0,0])") + "}"), {},
        "");
}

void ggufRows()
{
    constexpr std::uint32_t u8 = 0, text = 8, list = 9;
    const auto key = [](const std::string& value) { return GgufBuilder().key("k", list, value).file(); };
    const auto most = std::uint64_t(std::numeric_limits<std::int64_t>::max());
    row("list of 2^63-1 bytes", key(array(u8, most)), kShort, "");
    row("list of 2^64-1 numbers", key(array(10, ~0ULL)), kShort, "");
    row("list of 2^61 numbers", key(array(10, 1ULL << 61U)), kShort, "");
    row("list of 2^40 texts", key(array(text, 1ULL << 40U)), kShort, "");
    row("a million empty texts", key(array(text, 1'000'000, repeated(ggufText(""), 1'000'000))), {}, "");
    row("text of 2^64-1 bytes", GgufBuilder().key("k", text, raw(~0ULL)).file(), kShort, "");
    row("text of 2^63 bytes", GgufBuilder().key("k", text, raw(1ULL << 63U)).file(), kShort, "");
    row("lists in lists", key(repeated(array(list, 1), 100'000)), kMalformed, "array of arrays");
    row("a million keys and no more", GgufBuilder().header().replace(16, 8, raw(std::int64_t {1'000'001})), kShort, "");
    row("a million tensors and no more", GgufBuilder().header().replace(8, 8, raw(std::int64_t {1'000'001})), kShort,
        "");
    GgufBuilder many;
    for (int i = 0; i < 100'000; ++i)
        many.key("k" + std::to_string(i), 7, std::string(1, '\1'));
    row("100,000 keys", many.file(), {}, "");
    GgufBuilder empty;
    for (int i = 0; i < 100'000; ++i)
        empty.tensor("t" + std::to_string(i), {0}, 0, 0);
    row("100,000 tensors of nothing", empty.file(), {}, "");
    row("tensors overlap", GgufBuilder().tensorAt("a", {16}, 0, 64, 0).tensorAt("b", {16}, 0, 64, 32).file(),
        kMalformed, "'b'");
    row("tensors of one place", GgufBuilder().tensorAt("a", {16}, 0, 64, 0).tensorAt("b", {16}, 0, 64, 0).file(),
        kMalformed, "'b'");
    row("tensor far behind", GgufBuilder().tensorAt("a", {16}, 0, 64, 1ULL << 62U).header(), kMalformed, "");
    row("extents overflow", GgufBuilder().tensorAt("a", {1LL << 32, 1LL << 32}, 0, 64, 0).file(), kMalformed,
        "overflows");
    row("bytes overflow", GgufBuilder().tensorAt("a", {1LL << 61}, 28, 64, 0).file(), kMalformed, "");
    row("huge tensor", GgufBuilder().tensorAt("a", {1LL << 40}, 0, 64, 0).file(), kShort, "reach past");
    row("alignment of 2^31", GgufBuilder().u32("general.alignment", 1U << 31U).file(), kMalformed, "65,536");
    row("alignment 0", GgufBuilder().u32("general.alignment", 0).file(), kMalformed, "power of two");
}

void shardIndexRows()
{
    const auto map = [](const std::string& content) { return R"({"weight_map":)" + content + "}"; };
    row("300,000 tensors in a missing file", map(object(300'000, "t", R"("none.safetensors")")), ErrorCode::CannotOpen,
        "");
    std::string files = "{";
    for (int i = 0; i < 20'000; ++i)
        files += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"f" + std::to_string(i) + "\"";
    row("20,000 files", map(files + "}"), kMalformed, "10,000");
    row("more than a million keys", map(object(1'000'100, "", "\"f\"")), kMalformed, "");
    row("deep", map(std::string(1'000'000, '[')), kMalformed, "");
    row("a file of 300 bytes", map(R"({"w":")" + std::string(300, 'f') + "\"}"), kMalformed, "plain");
    row("a file of 30 MB", map(R"({"w":")" + std::string(5'000'000, 'f') + "\"}"), kMalformed, "plain");
    row("a file above", map(R"({"w":"..\/f"})"), kMalformed, "plain");
    row("a file above, escaped", map(R"({"w":"\u002e\u002e\u002ff"})"), kMalformed, "plain");
    row("a file with NUL", map(R"({"w":"f\u0000"})"), kMalformed, "");
    row("a file not UTF-8", map("{\"w\":\"\xff\"}"), kMalformed, "JSON");
    row("itself", map(R"({"w":"model.safetensors.index.json"})"), kMalformed, "");
    row("above the limit of texts", std::string(100'000'001, ' '), kMalformed, "");
}

#endif

}  // namespace

class TestMalformedFloods : public QObject
{
    Q_OBJECT

    CheckpointFolder m_folder;

    static void addRows(void (*rows)())
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");  // -1: opened
        QTest::addColumn<QByteArray>("reason");
        rows();
    }

    void check(const std::string& name)
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const auto path = m_folder.write(name, file.toStdString());
        if (code >= 0)
            QUANTLOUPE_REFUSES(path, ErrorCode(code), reason.constData());
        const auto opened = openBounded(path);
        QVERIFY2(opened.cheap(), opened.cost().c_str());
        QVERIFY2(bool(opened.model) == (code < 0), opened.model ? "" : describe(opened.model.error()).c_str());
    }

private Q_SLOTS:
    void safetensors_data() { addRows(safetensorsRows); }
    void safetensors() { check("m.safetensors"); }

    void gguf_data() { addRows(ggufRows); }
    void gguf() { check("m.gguf"); }

    void shardIndex_data() { addRows(shardIndexRows); }
    void shardIndex() { check("model.safetensors.index.json"); }
};

QTEST_APPLESS_MAIN(TestMalformedFloods)
#include "tst_malformed_floods.moc"
