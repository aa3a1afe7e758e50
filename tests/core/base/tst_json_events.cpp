// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/byte_cursor.h"
#include "core/base/json_events.h"
#include "core/base/text.h"

#include <QTest>

using namespace quantloupe;

namespace {

/// "kind path = value @offset" of every event, one per line.
Result<std::string> traced(std::string_view text, std::uint64_t base = 0)
{
    static constexpr const char* kKinds[] = {
        "{", "}", "[", "]", "text", "unsigned", "negative", "real", "bool", "null"};
    std::string trace;
    const auto read = readJson(text, "f.json", base, [&](const JsonEvent& event) -> Result<void> {
        trace += kKinds[std::size_t(event.kind)];
        for (const auto& key : event.path)
            trace.append("/").append(key);
        if (event.kind == JsonEvent::Kind::Text)
            trace.append("=").append(event.text);
        if (event.kind == JsonEvent::Kind::Unsigned || event.kind == JsonEvent::Kind::Boolean)
            trace.append("=").append(std::to_string(event.number));
        trace.append("@").append(std::to_string(event.offset)).append("\n");
        return {};
    });
    if (!read)
        return tl::unexpected(read.error());
    return trace;
}

}  // namespace

class TestJsonEvents : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void saysWhatAndWhere()
    {
        const auto trace = traced(" {\"a\" : [1, -2,3.5 ,true],\"b\":{\"\":null} , \"\\u0063\\\"\":\"x\\\\\"}", 100);
        QVERIFY2(trace, trace ? "" : describe(trace.error()).c_str());
        QCOMPARE(*trace,
            std::string("{@101\n[/a@108\nunsigned/a/=1@109\nnegative/a/@112\nreal/a/@115\nbool/a/=1@120\n]/a@124\n"
                        "{/b@130\nnull/b/@134\n}/b@138\ntext/c\"=x\\@153\n}@158\n"));
    }

    void keysMayRepeatInDifferentObjects() { QVERIFY(traced(R"({"a":{"a":1},"b":[{"a":1},{"a":2}]})")); }

    void theVisitorCanStop()
    {
        int seen = 0;
        const auto read = readJson("[1,2,3]", "f", 0, [&](const JsonEvent& event) -> Result<void> {
            ++seen;
            return event.number == 2 ? Result<void>(failure(ErrorCode::Conflict, "here", "enough", event.offset))
                                     : Result<void>();
        });
        QVERIFY(!read);
        QVERIFY(read.error() == (Error {ErrorCode::Conflict, "here", 3, "enough"}));
        QCOMPARE(seen, 3);
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<int>("offset");
        QTest::addColumn<QByteArray>("reason");
        QTest::newRow("nothing") << QByteArray() << 0 << QByteArray("not valid JSON");
        QTest::newRow("two values") << QByteArray("1 2") << 2 << QByteArray("not valid JSON");
        QTest::newRow("key twice") << QByteArray(R"([{"k":1, "k":2}])") << 9 << QByteArray("'k' occurs twice");
        QTest::newRow("64 levels and one") << QByteArray(65, '[') << 64 << QByteArray("deeper than 64");
        QTest::newRow("NUL in key") << QByteArray(R"({"\u0000":1})") << 1 << QByteArray("NUL");
        QTest::newRow("bad UTF-8") << QByteArray("[\"\xff\"]") << 2 << QByteArray("not valid JSON");
        QTest::newRow("key that looks escaped")
            << QByteArray(R"({"a\\":1,"a\\":2})") << 9 << QByteArray("occurs twice");
        QTest::newRow("too long") << QByteArray(100'000'001, ' ') << 0 << QByteArray("100 MB");
    }

    void refuses()
    {
        QFETCH(const QByteArray, text);
        QFETCH(const int, offset);
        QFETCH(const QByteArray, reason);
        const auto trace = traced({text.constData(), std::size_t(text.size())});
        QVERIFY(!trace);
        QVERIFY(trace.error().code == ErrorCode::Malformed);
        QVERIFY2(trace.error().offset == std::uint64_t(offset), describe(trace.error()).c_str());
        QVERIFY2(trace.error().reason.find(reason.constData()) != std::string::npos, trace.error().reason.c_str());
    }

    void sixtyFourLevels() { QVERIFY(traced(std::string(64, '[') + std::string(64, ']'))); }

    void utf8_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<bool>("valid");
        QTest::newRow("empty") << QByteArray() << true;
        QTest::newRow("ascii") << QByteArray("abc\x7f") << true;
        QTest::newRow("two bytes") << QByteArray("\xC2\x80\xDF\xBF") << true;
        QTest::newRow("three bytes") << QByteArray("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF") << true;
        QTest::newRow("four bytes") << QByteArray("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF") << true;
        QTest::newRow("continuation alone") << QByteArray("\x80") << false;
        QTest::newRow("overlong of 2") << QByteArray("\xC1\xBF") << false;
        QTest::newRow("overlong of 3") << QByteArray("\xE0\x9F\xBF") << false;
        QTest::newRow("overlong of 4") << QByteArray("\xF0\x8F\xBF\xBF") << false;
        QTest::newRow("surrogate") << QByteArray("\xED\xA0\x80") << false;
        QTest::newRow("above U+10FFFF") << QByteArray("\xF4\x90\x80\x80") << false;
        QTest::newRow("F5") << QByteArray("\xF5\x80\x80\x80") << false;
        QTest::newRow("cut") << QByteArray("\xE2\x82") << false;
    }

    void utf8()
    {
        QFETCH(const QByteArray, text);
        QFETCH(const bool, valid);
        const std::string_view view(text.constData(), std::size_t(text.size()));
        QCOMPARE(isValidUtf8(view), valid);
        QCOMPARE(isValidUtf8(toValidUtf8(view)), true);
        QCOMPARE(toValidUtf8(view) == view, valid);
        // Qt's decoder as the independent opinion.
        QCOMPARE(QString::fromUtf8(text).toUtf8() == text, valid);
    }

    void shortens()
    {
        QCOMPARE(shortened("abcdef", 6), std::string("abcdef"));
        QCOMPARE(shortened("abcdefg", 6), std::string("abcdef…"));
        QCOMPARE(shortened("äöü", 5), std::string("äö…"));
        QCOMPARE(shortened("\xff\xff\xff", 3), std::string("\xEF\xBF\xBD…"));
        QCOMPARE(shortened("", 0), std::string());
        QCOMPARE(shortened(std::string(1'000'000, 'x'), 2), std::string("xx…"));
        QCOMPARE(inQuotes("it"), std::string("'it'"));
    }

    void cursorStaysInside()
    {
        const std::string bytes("\1\0\0\0\2\0\0\0\0\0\0\0abcd", 16);
        ByteCursor cursor(std::as_bytes(std::span(bytes)));
        QVERIFY(cursor.read<std::uint32_t>() == 1U);
        QVERIFY(cursor.readText() == std::string_view("ab"));
        QCOMPARE(cursor.offset(), std::uint64_t(14));
        QVERIFY(!cursor.read<std::uint32_t>());
        QVERIFY(!cursor.take(3));
        QVERIFY(!cursor.take(~std::uint64_t {0}));
        QVERIFY(!cursor.readText());
        QCOMPARE(cursor.remaining(), std::uint64_t(2));
        QVERIFY(cursor.take(2));
        QVERIFY(!cursor.read<std::uint8_t>());
    }
};

QTEST_APPLESS_MAIN(TestJsonEvents)
#include "tst_json_events.moc"
