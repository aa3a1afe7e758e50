// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/text_windows.h"

#include <QTest>

#include <numeric>

using namespace quantloupe;

namespace {

std::vector<std::uint32_t> counting(std::size_t count)
{
    std::vector<std::uint32_t> tokens(count);
    std::iota(tokens.begin(), tokens.end(), 100U);
    return tokens;
}

}  // namespace

class TestTextWindows : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void halvesAreScored()
    {
        const auto text = cutWindows(counting(26), 1U, 8, std::nullopt);
        QVERIFY(text);
        QCOMPARE(text->windows.size(), std::size_t(3));  // the last two tokens fill none
        QCOMPARE(text->scored(), std::size_t(9));
        for (std::size_t i = 0; i < 3; ++i) {
            QVERIFY((text->windows[i] == TokenWindow {.begin = 8 * i, .length = 8, .firstScored = 4}));
            QCOMPARE(text->token(text->windows[i], 0), 1U);
            QCOMPARE(text->token(text->windows[i], 3), std::uint32_t(100 + 8 * i + 3));
        }
    }

    void oddContext()
    {
        const auto text = cutWindows(counting(7), std::nullopt, 7, std::nullopt);
        QVERIFY(text);
        QVERIFY((text->windows == std::vector<TokenWindow> {{.begin = 0, .length = 7, .firstScored = 3}}));
        QCOMPARE(text->scored(), std::size_t(3));
        QCOMPARE(text->token(text->windows[0], 0), 100U);
    }

    void slidingScoresEachTokenOnce_data()
    {
        QTest::addColumn<int>("count");
        QTest::addColumn<int>("context");
        QTest::addColumn<int>("stride");
        QTest::newRow("usual") << 50 << 16 << 4;
        QTest::newRow("stride of one") << 20 << 5 << 1;
        QTest::newRow("short text") << 9 << 16 << 4;
        QTest::newRow("two tokens") << 2 << 16 << 4;
        QTest::newRow("fits") << 16 << 16 << 8;
        QTest::newRow("stride divides nothing") << 53 << 16 << 7;
    }

    void slidingScoresEachTokenOnce()
    {
        QFETCH(const int, count);
        QFETCH(const int, context);
        QFETCH(const int, stride);
        const auto text = cutWindows(counting(std::size_t(count)), 1U, std::size_t(context), std::size_t(stride));
        QVERIFY(text);
        std::vector<int> scored(std::size_t(count), 0);
        for (const auto& window : text->windows) {
            QCOMPARE(window.begin % std::size_t(stride), std::size_t(0));
            QVERIFY(window.length <= std::size_t(context) && window.begin + window.length <= scored.size());
            for (auto position = window.firstScored; position + 1 < window.length; ++position)
                ++scored[window.begin + position + 1];
        }
        QCOMPARE(scored.front(), 0);  // nothing comes before it
        QVERIFY(std::all_of(scored.begin() + 1, scored.end(), [](int times) { return times == 1; }));
    }

    void strideOfTheContextLosesFirstTokens()
    {
        const auto text = cutWindows(counting(32), std::nullopt, 16, 16);
        QVERIFY(text);
        QCOMPARE(text->scored(), std::size_t(30));
    }

    void refusals_data()
    {
        QTest::addColumn<int>("count");
        QTest::addColumn<int>("context");
        QTest::addColumn<int>("stride");
        QTest::addColumn<QByteArray>("where");
        QTest::newRow("empty text") << 0 << 8 << -1 << QByteArray("text");
        QTest::newRow("one token") << 1 << 8 << -1 << QByteArray("text");
        QTest::newRow("one token, sliding") << 1 << 8 << 4 << QByteArray("text");
        QTest::newRow("almost a window") << 7 << 8 << -1 << QByteArray("text");
        QTest::newRow("tiny context") << 7 << 2 << -1 << QByteArray("context");
        QTest::newRow("no stride") << 7 << 4 << 0 << QByteArray("stride");
        QTest::newRow("gaps") << 7 << 4 << 5 << QByteArray("stride");
    }

    void refusals()
    {
        QFETCH(const int, count);
        QFETCH(const int, context);
        QFETCH(const int, stride);
        QFETCH(const QByteArray, where);
        const auto text = cutWindows(counting(std::size_t(count)), 1U, std::size_t(context),
            stride < 0 ? std::nullopt : std::optional(std::size_t(stride)));
        QVERIFY(!text);
        QCOMPARE(text.error().code, ErrorCode::InvalidArgument);
        QCOMPARE(QByteArray(text.error().where.c_str()), where);
    }
};

QTEST_APPLESS_MAIN(TestTextWindows)
#include "tst_text_windows.moc"
