// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/text_source.h"
#include "tests/support/checkpoint_files.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestTextSource : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void documents_data();
    void documents();
    void refused_data();
    void refused();
};

void TestTextSource::documents_data()
{
    QTest::addColumn<QString>("name");
    QTest::addColumn<QByteArray>("content");
    QTest::addColumn<QStringList>("documents");
    const auto row = [](const char* what, const char* name, const QByteArray& content, const QStringList& documents) {
        QTest::newRow(what) << QString(name) << content << documents;
    };
    row("plain", "a.txt", "one\r\n\n two \n", {"one\r\n\n two \n"});
    row("one byte", "a", "x", {"x"});
    row("byte order mark", "a.txt", "\xEF\xBB\xBFone", {"one"});
    row("JSON that is text", "a.json", R"({"text":"one"})", {R"({"text":"one"})"});
    row("lines", "a.jsonl", "{\"text\":\"one\\n\",\"id\":1}\n\n{\"meta\":{\"text\":2},\"text\":\"zw\u00f6lf\"}\r\n",
        {"one\n", QString::fromUtf8("zw\u00f6lf")});
    row("escaped", "a.ndjson", R"({"text":"\ud83d\ude42\u0000"})", {QString::fromUtf8("\U0001F642") + QChar(u'\0')});
    row("empty documents", "a.jsonl", "{\"text\":\"\"}\n{\"text\":\" \"}", {" "});
    row("mark before lines", "a.jsonl", "\xEF\xBB\xBF{\"text\":\"x\"}", {"x"});
}

void TestTextSource::documents()
{
    QFETCH(QString, name);
    QFETCH(QByteArray, content);
    QFETCH(QStringList, documents);
    CheckpointFolder folder;
    const auto source = readTextSource(folder.write(name.toStdString(), content.toStdString()));
    QVERIFY2(source.has_value(), source ? "" : describe(source.error()).c_str());
    QStringList read;
    std::size_t bytes = 0;
    for (const auto& document : source->documents) {
        read.append(QString::fromUtf8(document.data(), static_cast<qsizetype>(document.size())));
        bytes += document.size();
    }
    QCOMPARE(read, documents);
    QCOMPARE(source->bytes(), bytes);
}

void TestTextSource::refused_data()
{
    QTest::addColumn<QString>("name");
    QTest::addColumn<QByteArray>("content");
    QTest::addColumn<int>("offset");
    QTest::addColumn<QString>("reason");
    const auto row = [](const char* what, const char* name, const QByteArray& content, int offset, const char* reason) {
        QTest::newRow(what) << QString(name) << content << offset << QString(reason);
    };
    row("empty", "a.txt", "", 0, "no text");
    row("only a mark", "a.txt", "\xEF\xBB\xBF", 0, "no text");
    row("no UTF-8", "a.txt", "abc\xFF", 3, "not UTF-8");
    row("no UTF-8 after a mark", "a.txt",
        "\xEF\xBB\xBF"
        "a\xC3",
        4, "not UTF-8");
    row("empty lines", "a.jsonl", "\n \n", 0, "no text");
    row("no text in any line", "a.jsonl", "{\"text\":\"\"}\n", 0, "no text");
    row("no member", "a.jsonl", "{\"text\":\"a\"}\n{\"content\":\"b\"}\n", 13, "without the member 'text'");
    row("no object", "a.jsonl", "[\"text\"]", 0, "without the member 'text'");
    row("a number", "a.jsonl", "{\"text\":12}", 8, "is not a text");
    row("broken line", "a.jsonl", "{\"text\":\"a\"}\n{\"text\":", 21, "not valid JSON");
}

void TestTextSource::refused()
{
    QFETCH(QString, name);
    QFETCH(QByteArray, content);
    QFETCH(int, offset);
    QFETCH(QString, reason);
    CheckpointFolder folder;
    const auto path = folder.write(name.toStdString(), content.toStdString());
    const auto source = readTextSource(path);
    QVERIFY(!source);
    QVERIFY2(QString::fromStdString(source.error().reason).contains(reason), describe(source.error()).c_str());
    QCOMPARE(source.error().code, ErrorCode::Malformed);
    QCOMPARE(source.error().where, path.string());
    QCOMPARE(source.error().offset.value(), static_cast<std::uint64_t>(offset));
}

QTEST_APPLESS_MAIN(TestTextSource)
#include "tst_text_source.moc"
