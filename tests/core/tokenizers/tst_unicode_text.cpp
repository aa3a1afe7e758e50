// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/prefix_index.h"
#include "core/tokenizers/unicode_text.h"
#include "core/tokenizers/word_pattern.h"

#include <QString>
#include <QTest>

#include <map>
#include <random>

using namespace quantloupe;

class TestUnicodeText : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void everyCharacter();
    void normalForms();
    void longTexts();
    void prefixes();
    void ggufNames();
};

/// Against Qt's own tables, where both know the character.
void TestUnicodeText::everyCharacter()
{
    for (char32_t code = 0; code <= 0x10FFFF; ++code) {
        if ((code >= 0xD800 && code < 0xE000) || code == 0xFEFF)  // Qt takes the latter for a byte order mark
            continue;
        const auto text = "ab" + QString::fromUcs4(&code, 1).toUtf8().toStdString() + "c";
        const auto character = characterAt(text, 2);
        QCOMPARE(character.code, code);
        QCOMPARE(std::size_t {character.length}, text.size() - 3);
        QCOMPARE(claimedLength(text[2]), text.size() - 3);
        QCOMPARE(characterBefore(text, text.size() - 1).code, code);
        const bool known = QChar::category(code) != QChar::Other_NotAssigned && QChar::unicodeVersion(code) < 14;
        if (!known)
            continue;
        const auto name = QByteArray::number(static_cast<uint>(code), 16);
        QVERIFY2(character.is(char_class::letter) == QChar::isLetter(code), name.constData());
        QVERIFY2(character.is(char_class::number) == QChar::isNumber(code), name.constData());
        QVERIFY2(character.is(char_class::mark) == QChar::isMark(code), name.constData());
        QVERIFY2(character.is(char_class::punctuation) == QChar::isPunct(code), name.constData());
        QVERIFY2(character.is(char_class::space) == QChar::isSpace(code), name.constData());
    }
}

void TestUnicodeText::normalForms()
{
    const std::string text = "\u00c5 A\u030a \u212b \ufb01 \u1e9b\u0323 \uac00 \u00b2 a";
    const auto expected = [&](QString::NormalizationForm form) {
        return QString::fromStdString(text).normalized(form).toStdString();
    };
    QCOMPARE(inNormalForm(text, NormalForm::Nfc), expected(QString::NormalizationForm_C));
    QCOMPARE(inNormalForm(text, NormalForm::Nfd), expected(QString::NormalizationForm_D));
    QCOMPARE(inNormalForm(text, NormalForm::Nfkc), expected(QString::NormalizationForm_KC));
    QCOMPARE(inNormalForm(text, NormalForm::Nfkd), expected(QString::NormalizationForm_KD));
}

/// Texts of megabytes are rewritten piece by piece, which must not show.
void TestUnicodeText::longTexts()
{
    std::string text, expected;
    for (int i = 0; i < 400'000; ++i) {
        text += i % 3 == 0 ? "e\u0301\n" : "A\u030a";
        expected += i % 3 == 0 ? "\u00e9\n" : "\u00c5";
    }
    QVERIFY(text.size() > (1U << 20U));
    QVERIFY(inNormalForm(text, NormalForm::Nfc) == expected);
    QVERIFY(inNormalForm(std::string(2'000'000, 'x'), NormalForm::Nfc) == std::string(2'000'000, 'x'));
}

void TestUnicodeText::prefixes()
{
    std::mt19937 random(2);
    const auto word = [&](std::size_t longest) {
        std::string text;
        for (std::size_t i = 1 + random() % longest; i > 0; --i)
            text += static_cast<char>("ab\xFF"[random() % 3]);
        return text;
    };
    PrefixIndex index;
    std::map<std::string, std::uint32_t> all;
    index.add("", 99'999);
    for (std::uint32_t i = 0; i < 300; ++i) {
        const auto text = word(7);
        index.add(text, i);
        all.emplace(text, i);
    }
    index.finish();
    for (int round = 0; round < 2'000; ++round) {
        const auto text = word(10);
        std::vector<std::pair<std::uint32_t, std::size_t>> expected, found;
        for (std::size_t length = 1; length <= text.size(); ++length)
            if (const auto one = all.find(text.substr(0, length)); one != all.end())
                expected.emplace_back(one->second, length);
        index.forEachPrefix(text, [&](std::uint32_t value, std::size_t length) { found.emplace_back(value, length); });
        QCOMPARE(found, expected);
        const auto longest = index.longestPrefix(text);
        QCOMPARE(longest.has_value(), !expected.empty());
        if (longest)
            QCOMPARE(longest->length, expected.back().second);
    }
}

void TestUnicodeText::ggufNames()
{
    QCOMPARE(wordPatternsOfGgufName("llama-bpe").size(), std::size_t {1});
    QCOMPARE(wordPatternsOfGgufName("default").size(), std::size_t {4});
    QVERIFY(wordPatternsOfGgufName("llama").empty());
    QVERIFY(ggufNameAddsBos("llama-bpe") && ggufNameIgnoresMerges("llama-bpe"));
    QVERIFY(!ggufNameAddsBos("qwen2") && !ggufNameIgnoresMerges("gpt-2"));
    QVERIFY(!wordPatternOf("") && !wordPatternOf(".*"));
    const auto* numbers = wordPatternOf(R"(\p{N}{1,3})");
    QVERIFY(numbers);
    QCOMPARE(numbers->matchAt("1234", 0), std::size_t {3});
    QCOMPARE(numbers->matchAt("a1", 0), std::size_t {0});
}

QTEST_APPLESS_MAIN(TestUnicodeText)
#include "tst_unicode_text.moc"
